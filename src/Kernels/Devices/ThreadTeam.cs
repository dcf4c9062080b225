using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>Work cut into numbered items that may run in any order, on any thread: item i always does the same arithmetic.</summary>
internal interface IParallelJob
{
    void Run(int item);
}

/// <summary>
/// The calling thread plus n - 1 persistent workers. Items of a job are claimed one by one from a shared counter, so which thread runs an
/// item varies, but never what an item computes. Running a job allocates nothing: the job lies on the caller's stack.
/// Workers spin briefly for the next job and then park, so an idle team costs nothing.
/// </summary>
internal sealed unsafe class ThreadTeam : IDisposable
{
    private const int SpinCount = 4_000;
    private const int JobIsOpen = 1;
    private const int OneMember = 2;

    /// <summary>Beyond any item's number, with room for every member to count on once more.</summary>
    private const int PastAllItems = int.MaxValue - 65_536;

    private readonly Worker[] _workers;
    private readonly Lock _callerLock = new();
    private volatile bool _stopping;

    // The job on offer. _state = bit 0: open for joining; above: members inside. Fields of a job are written before it opens and stay
    // valid until the last member has left.
    private int _state;
    private delegate*<void*, int, void> _invoke;
    private void* _job;
    private int _itemCount;
    private PaddedCounter _next;
    private Exception? _failure;

    /// <param name="threadCount">Threads in all, the caller's included; at least 1.</param>
    /// <param name="cpus">Logical processors that the workers may run on; null leaves that to the operating system.</param>
    public ThreadTeam(int threadCount, IReadOnlyList<int>? cpus = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threadCount, 1);
        _workers = new Worker[threadCount - 1];
        for (int i = 0; i < _workers.Length; i++) _workers[i] = new Worker(this, i, cpus);
    }

    public int ThreadCount => _workers.Length + 1;

    /// <summary>Workers whose threads have not ended: none after <see cref="Dispose"/>.</summary>
    internal int LivingWorkerCount => _workers.Count(static worker => worker.IsAlive);

    /// <summary>Runs items 0 to itemCount - 1 and returns when all are done. A nested or concurrent call runs its items in its own thread.</summary>
    public void Run<TJob>(ref TJob job, int itemCount) where TJob : unmanaged, IParallelJob
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(itemCount, PastAllItems);
        if (itemCount <= 1 || _workers.Length == 0 || !_callerLock.TryEnter())
        {
            for (int item = 0; item < itemCount; item++) job.Run(item);
            return;
        }
        try
        {
            if (_callerLock.IsHeldByCurrentThread && _invoke != null)
            {
                for (int item = 0; item < itemCount; item++) job.Run(item);
                return;
            }
            TJob local = job;
            Offer(&Invoke<TJob>, &local, itemCount);
        }
        finally
        {
            _callerLock.Exit();
        }
    }

    /// <summary>Ends the workers after their current items and waits for them; jobs run in the caller's thread from then on. Safe to call twice.</summary>
    public void Dispose()
    {
        // A job under way in another thread wakes workers: they must be there until all of them were woken.
        using Lock.Scope noJob = _callerLock.EnterScope();
        if (_stopping) return;
        _stopping = true;
        foreach (Worker worker in _workers) worker.Stop();
    }

    private static void Invoke<TJob>(void* job, int item) where TJob : unmanaged, IParallelJob => Unsafe.AsRef<TJob>(job).Run(item);

    private void Offer(delegate*<void*, int, void> invoke, void* job, int itemCount)
    {
        _invoke = invoke;
        _job = job;
        _itemCount = itemCount;
        _next.Value = 0;
        Volatile.Write(ref _state, JobIsOpen);
        int helpers = Math.Min(_workers.Length, itemCount - 1);
        for (int i = 0; i < helpers; i++) _workers[i].Wake();
        RunItems();
        Interlocked.And(ref _state, ~JobIsOpen);
        for (int spins = 0; Volatile.Read(ref _state) != 0; spins++)
        {
            // Members still run their last item. Give the core away when there are more threads than cores.
            if (spins < SpinCount) Thread.SpinWait(4);
            else Thread.Yield();
        }
        _invoke = null;
        if (_failure is null) return;
        Exception failure = _failure;
        _failure = null;
        System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
    }

    private void RunItems()
    {
        try
        {
            for (int item = Interlocked.Increment(ref _next.Value) - 1; item < _itemCount; item = Interlocked.Increment(ref _next.Value) - 1)
                _invoke(_job, item);
        }
        catch (Exception failure)
        {
            // Kept and thrown by the caller; a worker thread must not die of it.
            Interlocked.CompareExchange(ref _failure, failure, null);
            Volatile.Write(ref _next.Value, PastAllItems);
        }
    }

    /// <summary>A hint only, read without order: keeps workers from joining a job again that has nothing left for them.</summary>
    private bool HasItemsLeft() => Volatile.Read(ref _next.Value) < Volatile.Read(ref _itemCount);

    private bool TryJoin()
    {
        int state = Volatile.Read(ref _state);
        while ((state & JobIsOpen) != 0)
        {
            int seen = Interlocked.CompareExchange(ref _state, state + OneMember, state);
            if (seen == state) return true;
            state = seen;
        }
        return false;
    }

    private void Leave() => Interlocked.Add(ref _state, -OneMember);

    [StructLayout(LayoutKind.Explicit, Size = 128)]
    private struct PaddedCounter
    {
        [FieldOffset(64)]
        public int Value;
    }

    // Stop() is the worker's disposal: it ends the thread first.
#pragma warning disable CA1001
    private sealed class Worker
#pragma warning restore CA1001
    {
        private readonly ThreadTeam _team;
        private readonly AutoResetEvent _wake = new(false);
        private readonly Thread _thread;
        private int _parked;

        public Worker(ThreadTeam team, int index, IReadOnlyList<int>? cpus)
        {
            _team = team;
            _thread = new Thread(() => Loop(cpus)) { IsBackground = true, Name = $"DistTrain worker {index + 1}" };
            _thread.Start();
        }

        public bool IsAlive => _thread.IsAlive;

        public void Wake()
        {
            if (Interlocked.Exchange(ref _parked, 0) == 1) _wake.Set();
        }

        public void Stop()
        {
            Volatile.Write(ref _parked, 0);
            _wake.Set();
            _thread.Join();
            _wake.Dispose();
        }

        private void Loop(IReadOnlyList<int>? cpus)
        {
            if (cpus is not null) CpuTopology.PinCurrentThread(cpus);
            int idleSpins = 0;
            while (!_team._stopping)
            {
                if (_team.HasItemsLeft() && _team.TryJoin())
                {
                    _team.RunItems();
                    _team.Leave();
                    idleSpins = 0;
                }
                else if (++idleSpins < SpinCount) Thread.SpinWait(4);
                else
                {
                    Park();
                    idleSpins = 0;
                }
            }
        }

        private void Park()
        {
            Volatile.Write(ref _parked, 1);
            Interlocked.MemoryBarrier();
            if ((Volatile.Read(ref _team._state) & JobIsOpen) != 0 || _team._stopping)
            {
                // A job came between the last look and parking.
                if (Interlocked.Exchange(ref _parked, 0) == 1) return;
            }
            _wake.WaitOne();
        }
    }
}
