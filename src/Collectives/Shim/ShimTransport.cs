using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>Ranks joined by <c>native/nccl-shim</c>: shared memory, MPI or NCCL. One call into C a collective; the protocol lives there alone.</summary>
internal sealed unsafe class ShimTransport : ITransport
{
    private readonly ShimHandle _communicator;
    private readonly ShimFlags _allocationFlags;
    private long _timeoutTicks;

    private ShimTransport(ShimHandle communicator, ShimFlags allocationFlags, TimeSpan timeout)
    {
        (_communicator, _allocationFlags, _timeoutTicks) = (communicator, allocationFlags, timeout.Ticks);
        ShimDescription found = new() { StructBytes = sizeof(ShimDescription) };
        Throw(ShimMethods.dt_comm_describe(communicator, ref found));
        (Number, Rank, WorldSize) = ((ShimTransportNumber)found.Transport, found.Rank, found.WorldSize);
    }

    public string Name => NameOf(Number);

    public int Rank { get; }

    public int WorldSize { get; }

    public bool IsFixedOrder => Number is ShimTransportNumber.SharedMemory or ShimTransportNumber.Mpi;

    public TimeSpan Timeout
    {
        get => TimeSpan.FromTicks(Interlocked.Read(ref _timeoutTicks));
        set
        {
            Throw(ShimMethods.dt_set_timeout(_communicator, Milliseconds(value)));
            Interlocked.Exchange(ref _timeoutTicks, value.Ticks);
        }
    }

    public CollectiveException? Failure => ShimErrors.Failure(_communicator);

    private ShimTransportNumber Number { get; }

    /// <summary>Joins the world; blocks until all ranks are there, at most for the options' timeout.</summary>
    /// <exception cref="DllNotFoundException">The library can't be loaded; the message names every path tried.</exception>
    internal static ShimTransport Join(ShimTransportNumber number, int rank, int worldSize, string? address, ReadOnlySpan<byte> secret, CommunicatorOptions options) =>
        Join(number, rank, worldSize, address, secret, uniqueId: [], device: 0, options);

    /// <summary>Joins the GPUs of a world over NCCL: calls are enqueued on the stream of <see cref="SetStream"/>, memory is the device's.</summary>
    internal static ShimTransport JoinNccl(int rank, int worldSize, NcclUniqueId id, int device, CommunicatorOptions options) =>
        Join(ShimTransportNumber.Nccl, rank, worldSize, address: null, secret: [], id.Bytes, device, options);

    private static ShimTransport Join(ShimTransportNumber number, int rank, int worldSize, string? address, ReadOnlySpan<byte> secret, ReadOnlySpan<byte> uniqueId, int device, CommunicatorOptions options)
    {
        options.Check();
        if (!ShimLibrary.TryLoad(out string problem)) throw new DllNotFoundException(problem);
        byte[] addressBytes = System.Text.Encoding.UTF8.GetBytes((address ?? "") + '\0');
        byte* error = stackalloc byte[ShimErrors.TextBytes];
        fixed (byte* addressPointer = addressBytes)
        fixed (byte* secretPointer = secret)
        fixed (byte* idPointer = uniqueId)
        {
            ShimOptions native = new()
            {
                StructBytes = sizeof(ShimOptions), Transport = (int)number, Rank = rank, WorldSize = worldSize, TimeoutMs = Milliseconds(options.Timeout), SegmentBytes = options.SegmentByteCount,
                Address = address is null ? null : addressPointer, Secret = secretPointer, SecretBytes = secret.Length, UniqueId = uniqueId.Length > 0 ? idPointer : null, UniqueIdBytes = uniqueId.Length, Device = device,
                Flags = (uint)(options.CheckCalls && number != ShimTransportNumber.SharedMemory ? ShimFlags.CheckCalls : 0),
            };
            ShimStatus status = ShimMethods.dt_comm_init(native, out nint communicator, error, ShimErrors.TextBytes);
            if (status != ShimStatus.Ok) throw ShimErrors.OfJoining(status, NameOf(number), ShimErrors.Text(error));
            return new ShimTransport(new ShimHandle(communicator), options.HugePages ? ShimFlags.HugePages : 0, options.Timeout);
        }
    }

    public void Run(in HostCall call)
    {
        int dtype = ShimNumbers.Of(call.DType), op = (int)call.Op;
        Throw(call.Verb switch
        {
            CollectiveVerb.AllReduce => ShimMethods.dt_all_reduce(_communicator, call.Send, call.Receive, call.ElementCount, dtype, op),
            CollectiveVerb.ReduceScatter => ShimMethods.dt_reduce_scatter(_communicator, call.Send, call.Receive, call.ElementCount, dtype, op),
            CollectiveVerb.AllGather => ShimMethods.dt_all_gather(_communicator, call.Send, call.Receive, call.ElementCount, dtype),
            CollectiveVerb.Broadcast => ShimMethods.dt_broadcast(_communicator, call.Send, call.Receive, call.ElementCount, dtype, call.Root),
            CollectiveVerb.Reduce => ShimMethods.dt_reduce(_communicator, call.Send, call.Receive, call.ElementCount, dtype, op, call.Root),
            CollectiveVerb.AllToAll => ShimMethods.dt_all_to_all(_communicator, call.Send, call.Receive, call.ElementCount, dtype),
            CollectiveVerb.Barrier => ShimMethods.dt_barrier(_communicator),
            _ => throw new ArgumentOutOfRangeException(nameof(call), call.Verb, "no collective"),
        });
    }

    public void Exchange(ReadOnlySpan<HostTransfer> transfers)
    {
        fixed (HostTransfer* first = transfers) Throw(ShimMethods.dt_exchange(_communicator, first, transfers.Length));
    }

    public ITransport? Split(int color, int key)
    {
        Throw(ShimMethods.dt_comm_split(_communicator, color, key, out nint part));
        return part == 0 ? null : new ShimTransport(new ShimHandle(part), _allocationFlags, Timeout);
    }

    public nint Allocate(long byteCount)
    {
        Throw(ShimMethods.dt_alloc(_communicator, byteCount, (uint)_allocationFlags, out nint memory));
        return memory;
    }

    public void Free(nint memory) => Throw(ShimMethods.dt_free(_communicator, memory));

    public void Abort(string reason) => Throw(ShimMethods.dt_abort(_communicator, reason));

    public IReadOnlyList<FlightRecord> FlightRecords(int rank)
    {
        const int Capacity = 256;
        ShimFlightRecord* records = stackalloc ShimFlightRecord[Capacity];
        Throw(ShimMethods.dt_flight_records(_communicator, rank, records, Capacity, out long count));
        FlightRecord[] found = new FlightRecord[count];
        for (int i = 0; i < count; i++)
        {
            ShimFlightRecord r = records[i];
            CollectiveCall call = new(r.Sequence, (CollectiveVerb)r.Verb, ShimNumbers.DTypeOf(r.DType), (ReduceOp)r.Op, r.Root, r.Count);
            found[i] = new FlightRecord(call, (FlightState)r.State, Nanoseconds(r.StartNanoseconds), Nanoseconds(r.DurationNanoseconds));
        }
        return found;
    }

    /// <summary>NCCL: the CUDA stream that calls are enqueued on from now on.</summary>
    internal void SetStream(nint stream) => Throw(ShimMethods.dt_set_stream(_communicator, stream));

    /// <summary>NCCL: waits until all that was enqueued on the stream is done.</summary>
    internal void Synchronize() => Throw(ShimMethods.dt_synchronize(_communicator));

    public void Hold()
    {
        bool isHeld = false;
        _communicator.DangerousAddRef(ref isHeld);
    }

    public void Release() => _communicator.DangerousRelease();

    public void Dispose()
    {
        // While tensors hold the memory the communicator stays; that this rank is out of it the others learn now.
        if (!_communicator.IsClosed) _ = ShimMethods.dt_leave(_communicator);
        _communicator.Dispose();
    }

    private static string NameOf(ShimTransportNumber number) => number switch
    {
        ShimTransportNumber.SharedMemory => "shm",
        ShimTransportNumber.Mpi => "mpi",
        _ => "nccl",
    };

    // At least one: less than a millisecond is not "for ever".
    private static long Milliseconds(TimeSpan time) => Math.Max(1, (long)Math.Min(time.TotalMilliseconds, int.MaxValue));

    private static TimeSpan Nanoseconds(long count) => TimeSpan.FromTicks(count / TimeSpan.NanosecondsPerTick);

    private void Throw(ShimStatus status)
    {
        if (status != ShimStatus.Ok) throw ShimErrors.Of(status, _communicator);
    }
}
