using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Ranks that are threads of one process: every buffer is at hand, so nothing is staged. Ranks show each other their call and meet in a barrier; each reduces its own slice of all inputs along
/// <see cref="FixedTree"/> and stores it to all outputs; a second barrier ends the call.
/// </summary>
internal sealed unsafe class InProcessTransport : ITransport
{
    private const int PageByteCount = 4096;
    private readonly InProcessGroup _group;
    private readonly InProcessRank _own;
    private readonly nint[] _sources, _destinations;
    private readonly HostCall[][] _calls;
    private readonly HashSet<nint> _memory = [];
    private int _holds;
    private bool _isDisposed;

    internal InProcessTransport(InProcessGroup group, int rank, TimeSpan timeout)
    {
        (_group, _own) = (group, group.Ranks[rank]);
        _own.Timeout = timeout;
        (_sources, _destinations) = (new nint[WorldSize], new nint[WorldSize]);
        // Not by way of the ranks: each of those writes its own object at every call, and reading it there costs a trip between cores.
        _calls = [.. group.Ranks.Select(other => other.Calls)];
    }

    public string Name => "inprocess";

    public int Rank => _own.Rank;

    public int WorldSize => _group.Ranks.Length;

    /// <summary>Where registered memory comes from: bytes in, an address aligned to pages out. Tests put one here that has none.</summary>
    internal Func<nuint, nint> Pages { get; init; } = static byteCount => (nint)NativeMemory.AlignedAlloc(byteCount, PageByteCount);

    public bool IsFixedOrder => true;

    public TimeSpan Timeout
    {
        get => _own.Timeout;
        set => _own.Timeout = value;
    }

    public CollectiveException? Failure => _group.Failure;

    public void Run(in HostCall call)
    {
        _group.ThrowIfDead();
        _own.Begin(call);
        bool succeeded = false;
        try
        {
            Meet(call);
            if (call.Verb != CollectiveVerb.Barrier && call.ElementCount > 0)
            {
                _group.BeginMove(_own);
                Move(call, call.DType.ByteSize());
                _own.IsMoving = false;
            }
            if (call.Verb != CollectiveVerb.Barrier) _group.Barrier(_own);
            succeeded = true;
        }
        finally
        {
            End(succeeded);
        }
    }

    public void Exchange(ReadOnlySpan<HostTransfer> transfers)
    {
        _group.ThrowIfDead();
        if (transfers.Length == 0) return;
        _own.BeginExchange(transfers[0]);
        bool succeeded = false;
        try
        {
            foreach (ref readonly HostTransfer t in transfers)
                if (t.Verb == (int)CollectiveVerb.Send) _group.Ranks[t.Peer].Inbox[Rank].Post(t);
            _group.Wake();
            foreach (ref readonly HostTransfer t in transfers)
                if (t.Verb != (int)CollectiveVerb.Send) Receive(t);
            foreach (ref readonly HostTransfer t in transfers)
            {
                if (t.Verb != (int)CollectiveVerb.Send) continue;
                InProcessChannel channel = _group.Ranks[t.Peer].Inbox[Rank];
                _group.Wait(_own, new InProcessChannel.IsTaken(channel, channel.Posted));
            }
            succeeded = true;
        }
        finally
        {
            End(succeeded);
        }
    }

    public ITransport? Split(int color, int key)
    {
        InProcessRank[] members = [];
        InProcessGroup? part = null;
        (_own.Wish, _own.Part) = ((color, key), null);
        Together(CollectiveVerb.Split, 0, () =>
        {
            members = [.. _group.Ranks.Where(rank => rank.Wish.Color == color).OrderBy(rank => rank.Wish.Key).ThenBy(rank => rank.Rank)];
            if (color >= 0 && members[0] == _own) _own.Part = new InProcessGroup(members.Length);
            _group.Barrier(_own);
            part = color < 0 ? null : members[0].Part;
            // Nobody splits again before all have seen it.
            _group.Barrier(_own);
        });
        return part is null ? null : new InProcessTransport(part, Array.IndexOf(members, _own), Timeout);
    }

    public nint Allocate(long byteCount)
    {
        nint memory = 0;
        try
        {
            Together(CollectiveVerb.Allocate, byteCount, () =>
            {
                memory = ZeroedPages(byteCount, out string? lack);
                _own.Lack = lack;
                // All have theirs before anybody uses it, or nobody keeps it.
                _group.Barrier(_own);
                if (Array.Find(_group.Ranks, rank => rank.Lack is not null) is { } poor) throw new CollectiveException($"allocating {byteCount:N0} bytes failed on rank {poor.Rank}: {poor.Lack}");
            });
        }
        catch
        {
            NativeMemory.AlignedFree((void*)memory);
            throw;
        }
        _memory.Add(memory);
        return memory;
    }

    // What a rank lacks it says where the others are told, not by leaving them behind.
    private nint ZeroedPages(long byteCount, out string? lack)
    {
        lack = null;
        try
        {
            nuint rounded = checked((nuint)((byteCount + PageByteCount - 1) & -PageByteCount));
            nint memory = Pages(rounded);
            NativeMemory.Clear((void*)memory, rounded);
            return memory;
        }
        catch (Exception failure) when (failure is OutOfMemoryException or OverflowException)
        {
            lack = failure.Message;
            return 0;
        }
    }

    public void Free(nint memory)
    {
        if (!_memory.Contains(memory)) throw new ArgumentException("this memory is not the communicator's");
        if (_group.Failure is null) Together(CollectiveVerb.Free, 0, () => { });
        _memory.Remove(memory);
        NativeMemory.AlignedFree((void*)memory);
    }

    public void Abort(string reason)
    {
        string text = $"rank {Rank} aborted: {reason}";
        _group.Fail(() => new CommunicatorAbortedException(text));
    }

    public IReadOnlyList<FlightRecord> FlightRecords(int rank) => _group.Ranks[rank].Records();

    // Tensors go on whatever thread drops the last share: a queue's, a waiting one.
    public void Hold() => Interlocked.Increment(ref _holds);

    public void Release()
    {
        if (Interlocked.Decrement(ref _holds) == 0 && Volatile.Read(ref _isDisposed)) FreeAll();
    }

    public void Dispose()
    {
        if (_isDisposed) return;
        Volatile.Write(ref _isDisposed, true);
        _group.Leave(_own);
        if (Interlocked.CompareExchange(ref _holds, 0, 0) == 0) FreeAll();
    }

    private void FreeAll()
    {
        lock (_memory)
        {
            foreach (nint memory in _memory) NativeMemory.AlignedFree((void*)memory);
            _memory.Clear();
        }
    }

    // A call that moves no tensors: all make it, then each does its part.
    private void Together(CollectiveVerb verb, long elementCount, Action part)
    {
        _group.ThrowIfDead();
        _own.Begin(new HostCall(verb, DType.F32, default, 0, 0, 0, elementCount));
        bool succeeded = false;
        try
        {
            Meet(_own.Call(_own.Sequence));
            part();
            succeeded = true;
        }
        finally
        {
            End(succeeded);
        }
    }

    // The first barrier: all have shown their call, and it is the same.
    private void Meet(in HostCall call)
    {
        _group.Barrier(_own);
        for (int rank = 0; rank < _calls.Length; rank++)
            if (!IsSame(CallOf(rank), call)) Mismatch(_own.Sequence);
    }

    private ref readonly HostCall CallOf(int rank) => ref _calls[rank][_own.Sequence & 1];

    private static bool IsSame(in HostCall left, in HostCall right) =>
        left.Verb == right.Verb && left.ElementCount == right.ElementCount && left.DType == right.DType
        && (left.Op == right.Op || !left.Verb.Reduces()) && (left.Root == right.Root || !left.Verb.HasRoot());

    // Every rank compares all, so every rank comes here, and the first to come tells it for all.
    private void Mismatch(ulong sequence)
    {
        InProcessRank first = _group.Ranks[0], other = _group.Ranks.First(rank => !IsSame(rank.Call(sequence), first.Call(sequence)));
        string text = $"ranks called different collectives: rank {first.Rank} {Describe(first.Call(sequence), sequence)}, rank {other.Rank} {Describe(other.Call(sequence), sequence)}";
        _group.Fail(() => new CollectiveMismatchException(text));
        _group.ThrowIfDead();
    }

    private static CollectiveCall Describe(in HostCall call, ulong sequence) => new(sequence, call.Verb, call.DType, call.Op, call.Root, call.ElementCount);

    private void Move(in HostCall call, int elementSize)
    {
        switch (call.Verb)
        {
            case CollectiveVerb.AllReduce or CollectiveVerb.Reduce: ReduceSlice(call, elementSize); break;
            case CollectiveVerb.ReduceScatter:
                for (int rank = 0; rank < WorldSize; rank++) _sources[rank] = CallOf(rank).Send + (nint)(call.ElementCount * elementSize * Rank);
                _destinations[0] = call.Receive;
                HostReduction.Reduce(call.DType, call.Op, _destinations.AsSpan(0, 1), _sources, call.ElementCount);
                break;
            case CollectiveVerb.Broadcast: Copy(CallOf(call.Root).Send, call.Receive, call.ElementCount * elementSize); break;
            default: Gather(call, elementSize); break;
        }
    }

    // This rank's slice of the whole, whole cache lines but for the last.
    private void ReduceSlice(in HostCall call, int elementSize)
    {
        ChunkLayout slices = new(call.ElementCount, WorldSize, 64 / elementSize);
        long offset = slices.Offset(Rank) * elementSize;
        int destinations = 0;
        for (int i = 0; i < WorldSize; i++)
        {
            int rank = (Rank + i) % WorldSize;
            _sources[rank] = CallOf(rank).Send + (nint)offset;
            if (call.Verb == CollectiveVerb.AllReduce || rank == call.Root) _destinations[destinations++] = CallOf(rank).Receive + (nint)offset;
        }
        HostReduction.Reduce(call.DType, call.Op, _destinations.AsSpan(0, destinations), _sources, slices.Length(Rank));
    }

    // Each begins with its neighbour, so that not all read the same memory at once.
    private void Gather(in HostCall call, int elementSize)
    {
        long bytes = call.ElementCount * elementSize;
        bool isAllToAll = call.Verb == CollectiveVerb.AllToAll, isInPlace = isAllToAll && call.Send == call.Receive;
        for (int i = 0; i < WorldSize; i++)
        {
            int rank = (Rank + i) % WorldSize;
            if (isAllToAll && rank != Rank && (isInPlace || CallOf(rank).Send == CallOf(rank).Receive))
            {
                if (rank > Rank) SwapParts(call, CallOf(rank), rank, bytes);
                continue;
            }
            nint from = CallOf(rank).Send + (isAllToAll ? (nint)(bytes * Rank) : 0);
            Copy(from, call.Receive + (nint)(bytes * rank), bytes);
        }
    }

    // All to all between two ranks of which one is in place at least: part p of rank r and part r of rank p change places; the lower rank of the two does it for both.
    private void SwapParts(in HostCall call, in HostCall peer, int rank, long bytes)
    {
        Span<byte> buffer = stackalloc byte[1024];
        byte* own = (byte*)call.Send + (bytes * rank), other = (byte*)peer.Send + (bytes * Rank), ownResult = (byte*)call.Receive + (bytes * rank), otherResult = (byte*)peer.Receive + (bytes * Rank);
        for (long at = 0; at < bytes; at += buffer.Length)
        {
            int length = (int)Math.Min(buffer.Length, bytes - at);
            new Span<byte>(own + at, length).CopyTo(buffer);
            new Span<byte>(other + at, length).CopyTo(new Span<byte>(ownResult + at, length));
            buffer[..length].CopyTo(new Span<byte>(otherResult + at, length));
        }
    }

    // The caller may free its buffers when a call has ended, however it ended.
    private void End(bool succeeded)
    {
        _own.IsMoving = false;
        _own.End(succeeded);
        if (!succeeded) _group.AwaitMoves();
    }

    private void Receive(in HostTransfer t)
    {
        InProcessChannel channel = _own.Inbox[t.Peer];
        _group.Wait(_own, new InProcessChannel.HasPost(channel));
        HostTransfer sent = channel.Peek();
        if (sent.ElementCount != t.ElementCount || sent.ShimDType != t.ShimDType)
        {
            string text = $"rank {t.Peer} sends {sent.ElementCount} elements of {ShimNumbers.DTypeOf(sent.ShimDType)} to rank {Rank}, which expects {t.ElementCount} of {ShimNumbers.DTypeOf(t.ShimDType)}";
            _group.Fail(() => new CollectiveMismatchException(text));
            _group.ThrowIfDead();
        }
        DType dtype = ShimNumbers.DTypeOf(t.ShimDType);
        _group.BeginMove(_own);
        if (t.Verb == (int)CollectiveVerb.Receive) Copy(sent.Memory, t.Memory, t.ElementCount * dtype.ByteSize());
        else HostReduction.Reduce(dtype, (ReduceOp)t.Op, [t.Memory], [sent.Memory, t.Memory], t.ElementCount);
        _own.IsMoving = false;
        channel.Take();
        _group.Wake();
    }

    private static void Copy(nint from, nint to, long byteCount)
    {
        if (from != to) NativeMemory.Copy((void*)from, (void*)to, (nuint)byteCount);
    }
}
