using System.Diagnostics;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// A communicator over NCCL: tensors are reduced where they lie on the GPU, and calls are enqueued on streams. Collectives that are started run on a stream of the communicator's own, beside
/// the caller's work.
/// </summary>
internal sealed class NcclCommunicator : ICommunicator
{
    private readonly ShimTransport _transport;
    private readonly ComputeDevice _device;
    private readonly CommunicatorOptions _options;
    private readonly NcclWatch _watch;
    private readonly DeviceMessages _messages;
    private readonly DeviceFixedOrder _fixedOrder;
    private readonly DeviceRingHalves _ringHalves;
    private readonly Dictionary<AllReduceAlgorithm, DevicePlan> _plans = [];
    private readonly Queue<(StreamEvent Point, Tensor? Send, Tensor? Receive)> _held = [];
    private ExecutionStream? _own, _lastStream;
    private StreamEvent? _last;
    private bool _isDisposed;

    /// <summary>Owns the transport.</summary>
    internal NcclCommunicator(ShimTransport transport, ComputeDevice device, CommunicatorOptions options)
    {
        (_transport, _device, _options) = (transport, device, options);
        _watch = new NcclWatch(transport);
        _messages = new DeviceMessages(transport);
        _fixedOrder = new DeviceFixedOrder(_messages);
        _ringHalves = new DeviceRingHalves(_messages);
    }

    public int Rank => _transport.Rank;

    public int WorldSize => _transport.WorldSize;

    public string Transport => _transport.Name;

    public bool IsFixedOrder => _options.Determinism == Determinism.FixedOrder || WorldSize == 1;

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
        Enqueue(stream, collective, elementCount, dtype);
        // Whoever calls a barrier wants to know that all are there.
        if (collective.Verb == CollectiveVerb.Barrier) Arrive(stream);
    }

    public CollectiveHandle Start(ExecutionStream stream, in Collective collective)
    {
        (long elementCount, DType dtype) = Check(stream, collective);
        if (Failure is { } failure) throw failure;
        Sweep();
        ExecutionStream own = _own ??= _device.CreateStream();
        own.Wait(stream.Record());
        // The caller may let go of its tensors at once; the memory waits for the communicator's stream.
        Collective held = collective.Share();
        CollectiveHandle handle = new(collective.Verb);
        try
        {
            StreamEvent point = Enqueue(own, held, elementCount, dtype);
            _held.Enqueue((point, held.Send, held.Receive));
            (handle.Enqueued, handle.Arrive) = (point, () => Arrive(own));
            long now = Stopwatch.GetTimestamp();
            handle.Complete(null, now, now);
        }
        catch
        {
            held.Send?.Dispose();
            held.Receive?.Dispose();
            throw;
        }
        return handle;
    }

    public void Exchange(ExecutionStream stream, params ReadOnlySpan<PeerTransfer> transfers)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(stream);
        CheckDevice(stream);
        foreach (PeerTransfer t in transfers)
        {
            CollectiveCheck.Check(t, Rank, WorldSize, stream);
            if (t.Verb == CollectiveVerb.ReceiveReduce && !DeviceReduction.Supports(t.Tensor.DType, t.Op))
                throw new ArgumentException($"{t.Verb.Name()}: there is no kernel for {t.Op} of {t.Tensor.DType} on {_device.Name}; sums and products of F32, F16 and BF16 there are");
        }
        Follow(stream);
        List<(Tensor Aside, Tensor Place, ReduceOp Op)> reductions = [];
        try
        {
            foreach (PeerTransfer t in transfers)
            {
                if (t.Verb == CollectiveVerb.Send)
                {
                    _messages.Send(t.Peer, t.Tensor);
                    continue;
                }
                Tensor place = t.Tensor;
                if (t.Verb == CollectiveVerb.ReceiveReduce)
                {
                    place = Tensor.Allocate(stream, t.Tensor.Shape, t.Tensor.DType);
                    reductions.Add((place, t.Tensor, t.Op));
                }
                _messages.Receive(t.Peer, place);
            }
            _messages.Exchange(stream);
            foreach ((Tensor aside, Tensor place, ReduceOp op) in reductions) DeviceReduction.Combine(stream, op, place, aside, place);
        }
        finally
        {
            // Where memory ended before the exchange nothing has gone, and nothing may go with the next one.
            _messages.Clear();
            foreach ((Tensor aside, _, _) in reductions) aside.Dispose();
        }
        Note(stream, CollectiveVerb.Send);
    }

    public RegisteredMemory Allocate(ComputeDevice device, long byteCount)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfLessThan(byteCount, 1);
        if (device != _device) throw new ArgumentException($"this communicator is {_device.Name}'s, {device.Name} is another device");
        nint pointer = _transport.Allocate(byteCount);
        return new RegisteredMemory(device, pointer, byteCount, _transport.Hold, _transport.Release, memory => Free(memory.Pointer));
    }

    public ICommunicator? Split(int color, int key = 0)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return _transport.Split(color, key) is ShimTransport part ? new NcclCommunicator(part, _device, _options) : null;
    }

    public void Abort(string reason)
    {
        ArgumentNullException.ThrowIfNull(reason);
        _transport.Abort(reason);
    }

    public IReadOnlyList<FlightRecord> FlightRecords(int rank)
    {
        if (rank < 0 || rank >= WorldSize) throw new ArgumentOutOfRangeException(nameof(rank), rank, $"expected 0 to {WorldSize - 1}");
        return rank == Rank ? _transport.FlightRecords(rank) : [];
    }

    /// <summary>Waits for what was enqueued; <see cref="Abort"/> first, to leave without.</summary>
    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        // The native side waits, no longer than the timeout, for what is under way.
        try
        {
            if (_lastStream is { IsDisposed: false } last && Failure is null) Arrive(last);
        }
        catch (CollectiveException)
        {
            // Whoever waited for the collective was told; here there is nobody to tell.
        }
        try
        {
            _watch.Dispose();
            while (_held.TryDequeue(out (StreamEvent, Tensor? Send, Tensor? Receive) held)) LetGo(held.Send, held.Receive);
            _own?.Dispose();
        }
        finally
        {
            // Also when the device has failed, and its streams with it.
            _transport.Dispose();
        }
    }

    private void Free(nint memory)
    {
        // It goes with a communicator that failed. Every other call throws the failure: one of its own would hide what ended a program that disposes in a finally.
        if (_isDisposed || Failure is not null) return;
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
        ArgumentNullException.ThrowIfNull(stream);
        CheckDevice(stream);
        return CollectiveCheck.Check(collective, Rank, WorldSize, stream);
    }

    private void CheckDevice(ExecutionStream stream)
    {
        if (stream.Device != _device) throw new ArgumentException($"this communicator is {_device.Name}'s, the stream belongs to {stream.Device.Name}");
    }

    private StreamEvent Enqueue(ExecutionStream stream, in Collective c, long elementCount, DType dtype)
    {
        Follow(stream);
        bool isOurs;
        try
        {
            isOurs = TryRunOurs(stream, c, dtype);
        }
        catch (Exception failure) when (failure is not CollectiveException)
        {
            // No memory, say, in the middle of a plan: the others wait for messages that will not come.
            _transport.Abort($"rank {Rank}: {c.Verb.Name()} could not go on: {failure.Message}");
            throw;
        }
        if (!isOurs)
        {
            _transport.SetStream(stream.NativeHandle);
            _transport.Run(new HostCall(c.Verb, dtype, c.Op, c.Root, c.Send?.Pointer ?? 0, c.Receive?.Pointer ?? 0, elementCount));
        }
        return Note(stream, c.Verb);
    }

    // What was enqueued on another stream before comes first.
    private void Follow(ExecutionStream stream)
    {
        if (_last is { } last && _lastStream != stream) stream.Wait(last);
    }

    private StreamEvent Note(ExecutionStream stream, CollectiveVerb verb)
    {
        (_last, _lastStream) = (stream.Record(), stream);
        _watch.Add(verb, _last);
        return _last;
    }

    private bool TryRunOurs(ExecutionStream stream, in Collective c, DType dtype)
    {
        if (WorldSize == 1) return false;
        if (_options.HasRingHalves(c.Verb)) return TryRunRingHalf(stream, c, dtype);
        if (!c.Verb.Reduces()) return false;
        bool isFixed = _options.Determinism == Determinism.FixedOrder;
        AllReduceAlgorithm? wanted = c.Verb == CollectiveVerb.AllReduce ? _options.Chooser?.Choose(WorldSize, (double)c.Send!.ByteCount) ?? _options.Algorithm : null;
        if (!isFixed && wanted is null) return false;
        if (!DeviceReduction.Supports(dtype, c.Op))
        {
            // Integers, minima and maxima are the same in any order.
            if (!isFixed || dtype != DType.F64 || c.Op is ReduceOp.Min or ReduceOp.Max) return false;
            ReduceOnHost(stream, c);
            return true;
        }
        using Tensor send = Flat(c.Send!);
        using Tensor? receive = c.Receive is { } result ? Flat(result) : null;
        if (isFixed || wanted == AllReduceAlgorithm.Direct)
        {
            _fixedOrder.Run(stream, c.Verb, c.Op, c.Root, send, c.Verb == CollectiveVerb.Reduce && Rank != c.Root ? null : receive);
            return true;
        }
        if (c.Send!.Pointer != c.Receive!.Pointer) send.CopyTo(stream, receive!);
        Plan(wanted!.Value).Run(stream, receive!, c.Op);
        return true;
    }

    private bool TryRunRingHalf(ExecutionStream stream, in Collective c, DType dtype)
    {
        if (c.Verb == CollectiveVerb.ReduceScatter && !DeviceReduction.Supports(dtype, c.Op)) return false;
        using Tensor send = Flat(c.Send!), receive = Flat(c.Receive!);
        if (send.ElementCount == 0 || receive.ElementCount == 0) return true;
        if (c.Verb == CollectiveVerb.ReduceScatter) _ringHalves.ReduceScatter(stream, send, receive, c.Op);
        else _ringHalves.AllGather(stream, send, receive);
        return true;
    }

    // f64 in fixed order, for which devices have no kernels: sums of losses and counts. Everybody gets everything, and adds along the tree on the host.
    private void ReduceOnHost(ExecutionStream stream, in Collective c)
    {
        int count = (int)c.Send!.ElementCount, first = c.Verb == CollectiveVerb.ReduceScatter ? Rank * (count / WorldSize) : 0;
        using Tensor all = Tensor.Allocate(stream, new Shape(checked(count * WorldSize)), DType.F64);
        _transport.SetStream(stream.NativeHandle);
        _transport.Run(new HostCall(CollectiveVerb.AllGather, DType.F64, default, 0, c.Send.Pointer, all.Pointer, count));
        Arrive(stream);
        if (c.Receive is not { } receive || (c.Verb == CollectiveVerb.Reduce && Rank != c.Root)) return;
        double[] inputs = all.ToArray<double>(stream), results = new double[receive.ElementCount];
        bool isProduct = c.Op == ReduceOp.Product;
        for (int i = 0; i < results.Length; i++)
        {
            int element = first + i;
            results[i] = FixedTree.Reduce(0, WorldSize, rank => inputs[(rank * count) + element], (left, right) => isProduct ? left * right : left + right);
            if (c.Op == ReduceOp.Average) results[i] /= WorldSize;
        }
        receive.CopyFrom<double>(stream, results);
    }

    private DevicePlan Plan(AllReduceAlgorithm algorithm)
    {
        if (_plans.TryGetValue(algorithm, out DevicePlan? plan)) return plan;
        return _plans[algorithm] = new DevicePlan(_messages, algorithm switch
        {
            AllReduceAlgorithm.Ring => RingPlan.Create(WorldSize),
            AllReduceAlgorithm.RecursiveDoubling => RecursiveDoublingPlan.Create(WorldSize),
            AllReduceAlgorithm.DoubleTree => DoubleBinaryTreePlan.Create(WorldSize),
            _ => FixedTree.CreatePlan(WorldSize),
        });
    }

    private static Tensor Flat(Tensor tensor) => tensor.Reshape(new Shape(checked((int)tensor.ElementCount)));

    private void Arrive(ExecutionStream stream)
    {
        _transport.SetStream(stream.NativeHandle);
        _transport.Synchronize();
    }

    private void Sweep()
    {
        while (_held.TryPeek(out (StreamEvent Point, Tensor? Send, Tensor? Receive) oldest) && oldest.Point.IsCompleted)
        {
            _held.Dequeue();
            LetGo(oldest.Send, oldest.Receive);
        }
    }

    private static void LetGo(Tensor? send, Tensor? receive)
    {
        send?.Dispose();
        receive?.Dispose();
    }
}
