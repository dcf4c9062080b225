using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>What one rank of a process shows the others: its call, where it stands, its last calls.</summary>
internal sealed class InProcessRank
{
    private const int RecordCount = 256;

    // Start and duration in milliseconds: what one looks for are stalls, and a finer clock costs more than a small collective.
    private readonly (CollectiveCall Call, FlightState State, long Start, long Duration)[] _records = new (CollectiveCall, FlightState, long, long)[RecordCount];
    private readonly HostCall[] _calls = new HostCall[2];
    private long _recorded, _timeoutTicks = TimeSpan.FromMinutes(10).Ticks;

    private PaddedCount _arrivals, _isMoving;

    /// <summary>Barriers entered since the group began. Written by the rank itself, read by all.</summary>
    internal long Arrivals
    {
        get => Volatile.Read(ref _arrivals.Value);
        set => Volatile.Write(ref _arrivals.Value, value);
    }

    /// <summary>Whether it is reading or writing other ranks' memory.</summary>
    internal bool IsMoving
    {
        get => Volatile.Read(ref _isMoving.Value) != 0;
        set => Volatile.Write(ref _isMoving.Value, value ? 1 : 0);
    }

    /// <summary>Whether it disposed its communicator.</summary>
    internal bool HasLeft;

    internal InProcessRank(int rank, int worldSize)
    {
        Rank = rank;
        Inbox = [.. Enumerable.Range(0, worldSize).Select(from => new InProcessChannel(from, rank))];
    }

    internal int Rank { get; }

    /// <summary>Collectives called.</summary>
    internal ulong Sequence { get; private set; }

    /// <summary>As messages name it.</summary>
    internal CollectiveCall LastCall { get; private set; }

    /// <summary>Messages to this rank, by sender.</summary>
    internal InProcessChannel[] Inbox { get; }

    /// <summary>For <see cref="InProcessTransport.Split"/>: color and key, and the group that was made.</summary>
    internal (int Color, int Key) Wish { get; set; }

    internal InProcessGroup? Part { get; set; }

    /// <summary>For <see cref="InProcessTransport.Allocate"/>: why this rank has no memory; null if it has.</summary>
    internal string? Lack { get; set; }

    internal TimeSpan Timeout
    {
        get => TimeSpan.FromTicks(Interlocked.Read(ref _timeoutTicks));
        set => Interlocked.Exchange(ref _timeoutTicks, value.Ticks);
    }

    internal void Begin(in HostCall call)
    {
        Sequence++;
        _calls[Sequence & 1] = call;
        Record(new CollectiveCall(Sequence, call.Verb, call.DType, call.Op, call.Root, call.ElementCount));
    }

    /// <summary>
    /// The call of that number, read by others behind the call's first barrier. Two are kept: a rank may begin its next call while others still compare this one, but not the one after.
    /// </summary>
    internal ref readonly HostCall Call(ulong sequence) => ref _calls[sequence & 1];

    /// <summary>The two of them, by the last bit of their number.</summary>
    internal HostCall[] Calls => _calls;

    internal void BeginExchange(in HostTransfer first) =>
        Record(new CollectiveCall(Sequence, (CollectiveVerb)first.Verb, ShimNumbers.DTypeOf(first.ShimDType), (ReduceOp)first.Op, first.Peer, first.ElementCount));

    internal void End(bool succeeded)
    {
        ref (CollectiveCall Call, FlightState State, long Start, long Duration) record = ref _records[(_recorded - 1) % RecordCount];
        record.State = succeeded ? FlightState.Done : FlightState.Failed;
        record.Duration = Environment.TickCount64 - record.Start;
    }

    /// <summary>From any thread; a record that is being written may come out mixed.</summary>
    internal FlightRecord[] Records()
    {
        long end = Volatile.Read(ref _recorded), now = Environment.TickCount64;
        return [.. Enumerable.Range(0, (int)Math.Min(end, RecordCount)).Select(i => _records[(end - Math.Min(end, RecordCount) + i) % RecordCount])
            .Select(r => new FlightRecord(r.Call, r.State, TimeSpan.FromMilliseconds(now - r.Start), TimeSpan.FromMilliseconds(r.Duration)))];
    }

    private void Record(CollectiveCall call)
    {
        LastCall = call;
        _records[_recorded % RecordCount] = (call, FlightState.Entered, Environment.TickCount64, 0);
        Volatile.Write(ref _recorded, _recorded + 1);
    }

    // Alone in its lines of memory: others poll it.
    [StructLayout(LayoutKind.Explicit, Size = 192)]
    private struct PaddedCount
    {
        [FieldOffset(64)]
        public long Value;
    }
}
