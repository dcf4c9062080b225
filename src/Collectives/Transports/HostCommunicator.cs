using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>A communicator over a transport that moves host memory. Tensors of CPU devices are read and written where they lie; those of GPUs pass through page-locked memory.</summary>
internal sealed class HostCommunicator : ICommunicator
{
    private readonly ITransport _transport;
    private readonly CommunicatorOptions _options;
    private readonly Dictionary<ComputeDevice, (HostStaging Memory, ExecutionStream Stream)> _staging = [];
    private readonly ReductionAlgorithms _algorithms;
    private CollectiveQueue? _queue;
    private bool _isDisposed, _isDumped;

    /// <summary>Owns the transport.</summary>
    internal HostCommunicator(ITransport transport, CommunicatorOptions options)
    {
        (_transport, _options) = (transport, options);
        _algorithms = new ReductionAlgorithms(transport, options);
    }

    public int Rank => _transport.Rank;

    public int WorldSize => _transport.WorldSize;

    public string Transport => _transport.Name;

    public bool IsFixedOrder => _options.Determinism == Determinism.FixedOrder || (_transport.IsFixedOrder && _options.Algorithm is null && _options.Chooser is null);

    public TimeSpan Timeout
    {
        get => _transport.Timeout;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero);
            _transport.Timeout = value;
        }
    }

    public CollectiveException? Failure => _transport.Failure;

    public void Run(ExecutionStream stream, in Collective collective)
    {
        (long elementCount, DType dtype) = Check(stream, collective);
        if (_queue is { IsIdle: false }) Start(stream, collective).Wait();
        else if (stream.Device.Kind == DeviceKind.Cpu) Execute(Call(collective, dtype, elementCount));
        else ExecuteStaged(stream, stream, collective, dtype, elementCount);
    }

    public CollectiveHandle Start(ExecutionStream stream, in Collective collective)
    {
        (long elementCount, DType dtype) = Check(stream, collective);
        if (Failure is { } failure) throw failure;
        _queue ??= new CollectiveQueue($"collectives of rank {Rank}");
        StreamEvent? ready = stream.Device.Kind == DeviceKind.Cpu ? null : stream.Record();
        Collective held = collective.Share();
        return _queue.Add(collective.Verb, () =>
        {
            using Tensor? send = held.Send;
            using Tensor? receive = held.Receive;
            if (ready is null)
            {
                Execute(Call(held, dtype, elementCount));
                return;
            }
            ready.Synchronize();
            ExecuteStaged(stream, Staging(stream.Device).Stream, held, dtype, elementCount);
        });
    }

    public void Exchange(ExecutionStream stream, params ReadOnlySpan<PeerTransfer> transfers)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(stream);
        foreach (PeerTransfer t in transfers) CollectiveCheck.Check(t, Rank, WorldSize, stream);
        // A message can't overtake what was started before.
        if (_queue is { IsIdle: false }) _queue.Drain();
        if (stream.Device.Kind == DeviceKind.Cpu) Exchange(transfers);
        else ExchangeStaged(stream, transfers);
    }

    public RegisteredMemory Allocate(ComputeDevice device, long byteCount)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfLessThan(byteCount, 1);
        if (device.Kind != DeviceKind.Cpu) throw new ArgumentException($"{Transport} registers host memory only, {device.Name} is no CPU device; its tensors pass through page-locked memory by themselves");
        _queue?.Drain();
        nint pointer = _transport.Allocate(byteCount);
        return new RegisteredMemory(device, pointer, byteCount, _transport.Hold, _transport.Release, memory => Free(memory.Pointer));
    }

    public ICommunicator? Split(int color, int key = 0)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        _queue?.Drain();
        return _transport.Split(color, key) is { } part ? new HostCommunicator(part, _options) : null;
    }

    public void Abort(string reason)
    {
        ArgumentNullException.ThrowIfNull(reason);
        _transport.Abort(reason);
    }

    public IReadOnlyList<FlightRecord> FlightRecords(int rank)
    {
        if (rank < 0 || rank >= WorldSize) throw new ArgumentOutOfRangeException(nameof(rank), rank, $"expected 0 to {WorldSize - 1}");
        return _transport.FlightRecords(rank);
    }

    /// <summary>Waits for what was started; <see cref="Abort"/> first, to leave without.</summary>
    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        _queue?.Dispose();
        _algorithms.Dispose();
        foreach ((HostStaging memory, ExecutionStream stream) in _staging.Values)
        {
            memory.Dispose();
            stream.Dispose();
        }
        _transport.Dispose();
    }

    private void Free(nint memory)
    {
        // With the communicator went all its memory; with one that failed it goes. Every other call throws the failure: one of its own would hide what ended a program that disposes in a finally.
        if (_isDisposed || Failure is not null) return;
        _queue?.Drain();
        try
        {
            _transport.Free(memory);
        }
        catch (CollectiveException failure) when (failure is not CollectiveMismatchException && Failure is not null)
        {
            // As above, while it waited.
        }
    }

    private (long ElementCount, DType DType) Check(ExecutionStream stream, in Collective collective)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return CollectiveCheck.Check(collective, Rank, WorldSize, stream);
    }

    private void Execute(in HostCall call)
    {
        try
        {
            if (!_algorithms.TryRun(call)) _transport.Run(call);
        }
        catch (CollectiveException failure)
        {
            Dump(failure);
            // The rank that saw a difference told all.
            if (failure is CommunicatorAbortedException && failure.Message.Contains(CallAgreement.Text, StringComparison.Ordinal)) throw new CollectiveMismatchException(failure.Message);
            throw;
        }
    }

    private void Dump(CollectiveException failure)
    {
        if (_isDumped || (_options.FlightFolder ?? Environment.GetEnvironmentVariable("DISTTRAIN_FLIGHT_FOLDER")) is not { Length: > 0 } folder) return;
        _isDumped = true;
        FlightDump.TryWrite(folder, _transport, failure);
    }

    private static HostCall Call(in Collective c, DType dtype, long elementCount) =>
        new(c.Verb, dtype, c.Op, c.Root, c.Send?.Pointer ?? 0, c.Receive?.Pointer ?? 0, elementCount);

    // Out, over the host, in. What lies in place on the device does so on the host.
    private void ExecuteStaged(ExecutionStream owner, ExecutionStream stream, in Collective c, DType dtype, long elementCount)
    {
        HostStaging memory = Staging(owner.Device).Memory;
        bool sends = c.Verb != CollectiveVerb.Broadcast || Rank == c.Root, receives = c.Receive is not null && (c.Verb != CollectiveVerb.Reduce || Rank == c.Root);
        nint send = sends ? memory.Fetch(stream, c.Send) : 0, receive = receives ? memory.Room(c.Receive!.ByteCount) : 0;
        Execute(new HostCall(c.Verb, dtype, c.Op, c.Root, send, receive, elementCount));
        if (receives) HostStaging.Store(stream, c.Receive!, receive);
    }

    private (HostStaging Memory, ExecutionStream Stream) Staging(ComputeDevice device)
    {
        if (!_staging.TryGetValue(device, out (HostStaging, ExecutionStream) staging)) _staging[device] = staging = (new HostStaging(device), device.CreateStream());
        return staging;
    }

    private void Exchange(ReadOnlySpan<PeerTransfer> transfers)
    {
        Span<HostTransfer> messages = transfers.Length <= 64 ? stackalloc HostTransfer[transfers.Length] : new HostTransfer[transfers.Length];
        for (int i = 0; i < messages.Length; i++)
        {
            PeerTransfer t = transfers[i];
            messages[i] = new HostTransfer(t.Verb, t.Peer, t.Tensor.DType, t.Op, t.Tensor.Pointer, t.Tensor.ElementCount);
        }
        Exchange(messages);
    }

    private void Exchange(ReadOnlySpan<HostTransfer> messages)
    {
        try
        {
            _transport.Exchange(messages);
        }
        catch (CollectiveException failure)
        {
            Dump(failure);
            throw;
        }
    }

    private void ExchangeStaged(ExecutionStream stream, ReadOnlySpan<PeerTransfer> transfers)
    {
        HostMemory?[] rooms = new HostMemory?[transfers.Length];
        try
        {
            HostTransfer[] messages = new HostTransfer[transfers.Length];
            for (int i = 0; i < messages.Length; i++)
            {
                PeerTransfer t = transfers[i];
                rooms[i] = HostMemory.Allocate(stream.Device, t.Tensor.ByteCount);
                if (t.Verb != CollectiveVerb.Receive) t.Tensor.CopyTo(stream, rooms[i]!.Address);
                messages[i] = new HostTransfer(t.Verb, t.Peer, t.Tensor.DType, t.Op, rooms[i]!.Address, t.Tensor.ElementCount);
            }
            Exchange((ReadOnlySpan<HostTransfer>)messages);
            for (int i = 0; i < messages.Length; i++)
                if (transfers[i].Verb != CollectiveVerb.Send) HostStaging.Store(stream, transfers[i].Tensor, rooms[i]!.Address);
        }
        finally
        {
            foreach (HostMemory? room in rooms) room?.Dispose();
        }
    }
}
