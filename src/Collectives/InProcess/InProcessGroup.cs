using System.Diagnostics;
using System.Runtime.Intrinsics.X86;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// What the ranks of one process share: who has arrived with what call, and how they wait for each other. While every rank has a processor they spin for 100 microseconds and then sleep; where
/// ranks outnumber processors they let others run at once.
/// </summary>
internal sealed class InProcessGroup
{
    private static readonly long s_spinTicks = Stopwatch.Frequency / 10_000;
    private static readonly TimeSpan s_longestSleep = TimeSpan.FromMilliseconds(500);
    private readonly Lock _failing = new();
    private readonly object _gate = new();
    private readonly bool _yields;
    private Func<CollectiveException>? _failure;
    private int _sleepers, _left;

    internal InProcessGroup(int worldSize)
    {
        Ranks = [.. Enumerable.Range(0, worldSize).Select(rank => new InProcessRank(rank, worldSize))];
        _yields = worldSize > Environment.ProcessorCount;
    }

    internal InProcessRank[] Ranks { get; }

    /// <summary>Why the group is dead, a new exception for each who asks; null while it lives.</summary>
    internal CollectiveException? Failure => Volatile.Read(ref _failure)?.Invoke();

    /// <summary>Waits for all ranks; what each wrote before is seen by all afterwards. Each rank counts its own arrivals and reads the others': no line of memory is written by two.</summary>
    internal void Barrier(InProcessRank own)
    {
        ThrowIfDead();
        long phase = own.Arrivals + 1;
        own.Arrivals = phase;
        Wake();
        Wait(own, new AllArrived(Ranks, phase));
    }

    /// <summary>Waits for anything that another rank brings about and tells of by <see cref="Wake"/>.</summary>
    internal void Wait<TCondition>(InProcessRank own, TCondition condition) where TCondition : struct, IInProcessCondition
    {
        long start = 0;
        for (int spins = 0; !condition.IsMet; spins++)
        {
            ThrowIfDead();
            if (Volatile.Read(ref _left) > 0) CheckLeft(own, condition);
            if (!_yields && spins < 64)
            {
                // One instruction where there is one: the runtime's own wait is a call, and longer than what is waited for.
                if (X86Base.IsSupported) X86Base.Pause();
                else Thread.SpinWait(4);
                continue;
            }
            long now = Stopwatch.GetTimestamp();
            if (start == 0) start = now;
            if (now - start > s_spinTicks) Sleep(own, condition, start);
            else if (_yields) Thread.Yield();
            else Thread.SpinWait(8);
        }
    }

    /// <summary>
    /// Begins work on other ranks' memory. A rank whose call fails waits for the end of such work before it returns: its buffers must not go while others read them.
    /// </summary>
    internal void BeginMove(InProcessRank own)
    {
        own.IsMoving = true;
        // Either this sees a failure, or who failed sees this: see Wake.
        if (Volatile.Read(ref _failure) is not { } failure) return;
        own.IsMoving = false;
        throw failure();
    }

    /// <summary>Returns when no rank works on another one's memory, nor will: for calls that failed.</summary>
    internal void AwaitMoves()
    {
        Interlocked.MemoryBarrierProcessWide();
        foreach (InProcessRank rank in Ranks)
            while (rank.IsMoving) Thread.Yield();
    }

    /// <summary>
    /// To be called after what others may wait for was written. Who writes and then looks for sleepers does it without a fence, several times in a call; the rare other side, who sleeps or
    /// failed, has all cores order their writes and reads instead.
    /// </summary>
    internal void Wake()
    {
        if (Volatile.Read(ref _sleepers) == 0) return;
        lock (_gate) Monitor.PulseAll(_gate);
    }

    /// <summary>Kills the group; the first reason counts.</summary>
    internal void Fail(Func<CollectiveException> failure)
    {
        lock (_failing)
        {
            if (_failure is not null) return;
            Volatile.Write(ref _failure, failure);
        }
        Wake();
    }

    /// <summary>This rank will call nothing more. Others that still need it fail.</summary>
    internal void Leave(InProcessRank own)
    {
        Volatile.Write(ref own.HasLeft, true);
        Interlocked.Increment(ref _left);
        Wake();
    }

    internal void ThrowIfDead()
    {
        if (Volatile.Read(ref _failure) is { } failure) throw failure();
    }

    private void Sleep<TCondition>(InProcessRank own, TCondition condition, long start) where TCondition : struct, IInProcessCondition
    {
        TimeSpan left = own.Timeout - Stopwatch.GetElapsedTime(start);
        if (left <= TimeSpan.Zero)
        {
            FailLate(own, condition);
            return;
        }
        lock (_gate)
        {
            Interlocked.Increment(ref _sleepers);
            Interlocked.MemoryBarrierProcessWide();
            // Once more, now that whoever brings it about will wake this one.
            if (!condition.IsMet && Volatile.Read(ref _failure) is null && (Volatile.Read(ref _left) == 0 || !IsLeft(condition, out _)))
                Monitor.Wait(_gate, left < s_longestSleep ? left : s_longestSleep);
            Interlocked.Decrement(ref _sleepers);
        }
    }

    private void CheckLeft<TCondition>(InProcessRank own, TCondition condition) where TCondition : struct, IInProcessCondition
    {
        // It may have done its part before it left.
        if (!IsLeft(condition, out InProcessRank? lost) || condition.IsMet) return;
        int rank = lost.Rank;
        CollectiveCall last = lost.LastCall;
        string text = $"rank {rank} left: it disposed its communicator after {Describe(lost)}, while rank {own.Rank} waits in {own.LastCall}";
        Fail(() => new CommunicatorLostException(text) { Rank = rank, ProcessId = Environment.ProcessId, Reason = PeerLossReason.Left, LastSequence = last.Sequence, LastVerb = last.Verb });
        ThrowIfDead();
    }

    private bool IsLeft<TCondition>(TCondition condition, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out InProcessRank? lost) where TCondition : struct, IInProcessCondition
    {
        lost = Array.Find(Ranks, rank => Volatile.Read(ref rank.HasLeft) && condition.NeedsMoreOf(rank));
        return lost is not null;
    }

    private void FailLate<TCondition>(InProcessRank own, TCondition condition) where TCondition : struct, IInProcessCondition
    {
        InProcessRank[] late = [.. Ranks.Where(rank => rank != own && condition.NeedsMoreOf(rank))];
        int single = late.Length == 1 ? late[0].Rank : -1;
        string names = late.Length == 0 ? "nobody any more" : string.Join(", ", late.Select(rank => $"rank {rank.Rank} ({Describe(rank)})"));
        string text = $"rank {own.Rank} timed out after {own.Timeout.TotalMilliseconds:0} ms in {own.LastCall}; not arrived: {names}";
        Fail(() => new CollectiveTimeoutException(text) { Rank = single });
        ThrowIfDead();
    }

    private static string Describe(InProcessRank rank) => rank.LastCall.Verb == CollectiveVerb.None ? "no call yet" : $"last call {rank.LastCall}";

    private readonly struct AllArrived(InProcessRank[] ranks, long phase) : IInProcessCondition
    {
        public bool IsMet
        {
            get
            {
                foreach (InProcessRank rank in ranks)
                    if (rank.Arrivals < phase) return false;
                return true;
            }
        }

        public bool NeedsMoreOf(InProcessRank rank) => rank.Arrivals < phase;
    }
}

/// <summary>What a rank waits for.</summary>
internal interface IInProcessCondition
{
    bool IsMet { get; }

    /// <summary>Whether that still depends on a rank.</summary>
    bool NeedsMoreOf(InProcessRank rank);
}
