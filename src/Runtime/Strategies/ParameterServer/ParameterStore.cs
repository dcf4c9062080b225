using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// A parameter server's memory and rules: variables and optimizer state, updated by whoever pushes (M. Li et al., "Scaling Distributed Machine Learning with the Parameter Server", OSDI 2014).
/// Serves workers of this process directly, others through a network server. Every pull sees whole versions. Thread-safe; calls that have to wait do so without a thread.
/// </summary>
public sealed class ParameterStore : IParameterServer, IDisposable
{
    private readonly Func<IReadOnlyList<Parameter>, Optimizer> _createOptimizer;
    private readonly ParameterStoreOptions _options;
    private readonly CpuDevice _host;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, ParameterSession> _sessions = [];
    private readonly StepLedger _ledger = new();
    private readonly long[] _stalenessCounts = new long[ParameterServerStatistics.StalenessCountLength];
    private readonly List<(long Step, long Staleness)> _collected = [];
    private StoredVariables? _variables;
    private ParameterStoreSnapshots? _snapshots;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _dropped, _largestStaleness;
    private bool _isDisposed;

    /// <param name="optimizer">Makes the optimizer over the server's parameters.</param>
    /// <param name="options">Staleness, timeouts, snapshots.</param>
    public ParameterStore(Func<IReadOnlyList<Parameter>, Optimizer> optimizer, ParameterStoreOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(optimizer);
        (_createOptimizer, _options) = (optimizer, options ?? new ParameterStoreOptions());
        _options.Check();
        _host = new CpuDevice("parameter store", InstructionSets.Best, _options.ThreadCount);
    }

    /// <summary>How it stands.</summary>
    public ParameterServerStatistics Statistics
    {
        get
        {
            lock (_lock) return new ParameterServerStatistics(_variables?.Version ?? 0, _ledger.DoneCount, _sessions.Count, _dropped, [.. _stalenessCounts], _largestStaleness);
        }
    }

    /// <summary>Whether snapshots are kept.</summary>
    internal bool SavesItself => _options.Checkpoints is not null;

    /// <summary>Whether the variables have values.</summary>
    internal bool HasValues
    {
        get
        {
            lock (_lock) return _variables is { IsInitialized: true };
        }
    }

    /// <inheritdoc/>
    public ValueTask<IParameterSession> OpenAsync(string worker, VariableLayout layout, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(worker);
        ArgumentNullException.ThrowIfNull(layout);
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (_variables is null) Begin(layout);
            _variables!.Layout.CheckSame(layout);
            ParameterSession session = new(this, worker, layout);
            if (_sessions.Remove(worker, out ParameterSession? old))
            {
                old.Expel($"worker '{worker}' has opened another session");
                session.Inherit(old);
            }
            _sessions.Add(worker, session);
            return new ValueTask<IParameterSession>(session);
        }
    }

    /// <summary>Writes a snapshot, if the options name a folder and there is something to save, and waits until it is on the disk.</summary>
    /// <exception cref="CheckpointException">It could not be written.</exception>
    public void Save()
    {
        lock (_lock)
        {
            if (_variables is { IsInitialized: true }) _snapshots?.Save(_variables, _ledger, waits: true);
        }
    }

    /// <summary>Ends all sessions and frees the variables; waits for a snapshot that is being written.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_isDisposed) return;
            _isDisposed = true;
            foreach (ParameterSession session in _sessions.Values) session.Expel("the parameter server was shut down");
            _sessions.Clear();
            _snapshots?.Dispose();
            _variables?.Dispose();
            _host.Dispose();
            WakeAll();
        }
    }

    internal bool Initialize(ParameterSession session, ReadOnlySpan<float> values)
    {
        lock (_lock)
        {
            session.CheckAlive();
            if (_variables!.IsInitialized) return false;
            _variables.Initialize(values);
            // A server that is killed from now on has something to go on from.
            _snapshots?.Save(_variables, _ledger, waits: true);
            WakeAll();
            return true;
        }
    }

    internal async ValueTask<long> TakeStepAsync(ParameterSession session, long stepCount, CancellationToken cancellation)
    {
        Deadline deadline = new(_options.WaitTimeout);
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                if (TryTakeStep(session, stepCount, out long step)) return step;
                changed = Wait(session);
            }
            await WaitAsync(session, changed, deadline, "a step to do: others have taken all that are left, or are too far behind", cancellation).ConfigureAwait(false);
        }
    }

    internal async ValueTask<long> PullAsync(ParameterSession session, Memory<float> values, long newerThan, CancellationToken cancellation)
    {
        Deadline deadline = new(_options.WaitTimeout);
        while (true)
        {
            Task changed;
            lock (_lock)
            {
                session.CheckAlive();
                if (_variables is { IsInitialized: true } variables && variables.Version > newerThan)
                {
                    variables.CopyTo(values.Span);
                    session.OnPulled(variables.Version);
                    return variables.Version;
                }
                changed = Wait(session);
            }
            await WaitAsync(session, changed, deadline, _variables!.IsInitialized ? $"a version above {newerThan}" : "the variables' first values, which another worker was to give", cancellation).ConfigureAwait(false);
        }
    }

    internal PushResult Push(ParameterSession session, in GradientPush push)
    {
        lock (_lock)
        {
            session.CheckAlive();
            StoredVariables variables = _variables!;
            if (!variables.IsInitialized) throw new InvalidOperationException("a push before the variables have values");
            long staleness = variables.Version - push.BaseVersion;
            bool isOpen = push.Step < 0 || _ledger.IsOpenTo(session.Worker, push.Step);
            // A worker that was cut off in between was not counted among those at work.
            bool isTooOld = staleness > (_options.GradientsPerUpdate > 1 ? 0 : _options.StalenessBound);
            if (!isOpen || staleness < 0 || isTooOld) return Drop(session, push, staleness);
            // A push without a step leaves the one that its worker has taken to it.
            if (session.TakenStep == push.Step) session.OnFinished();
            if (push.Step >= 0) _ledger.Finish(push.Step);
            variables.Collect(push.Values.Span, push.LearningRate);
            _collected.Add((push.Step, staleness));
            if (_collected.Count >= _options.GradientsPerUpdate) Apply();
            return new PushResult(_collected.Count == 0 ? PushOutcome.Applied : PushOutcome.Collected, variables.Version, staleness);
        }
    }

    internal void Leave(ParameterSession session)
    {
        lock (_lock)
        {
            if (_sessions.TryGetValue(session.Worker, out ParameterSession? current) && current == session) _sessions.Remove(session.Worker);
            if (session.TakenStep is { } step) _ledger.Return(step);
            session.OnFinished();
            if (_isDisposed) return;
            CloseIfStuck();
            WakeAll();
        }
    }

    // Variables of the first worker; where a snapshot is, its values.
    private void Begin(VariableLayout layout)
    {
        StoredVariables variables = new(_host, layout, _createOptimizer);
        ParameterStoreSnapshots? snapshots = null;
        try
        {
            snapshots = _options.Checkpoints is { } folder ? new ParameterStoreSnapshots(folder) : null;
            snapshots?.Restore(variables, _ledger);
        }
        catch
        {
            snapshots?.Dispose();
            variables.Dispose();
            throw;
        }
        (_variables, _snapshots) = (variables, snapshots);
    }

    private bool TryTakeStep(ParameterSession session, long stepCount, out long step)
    {
        session.CheckAlive();
        if (session.TakenStep is { } inherited && session.IsStepInherited)
        {
            session.OnTaken(step = inherited);
            return true;
        }
        if (session.TakenStep is { } kept) throw new InvalidOperationException($"worker '{session.Worker}' took step {kept} and has not pushed it; it takes another only then");
        step = -1;
        if (_ledger.IsExhausted(stepCount))
        {
            if (_ledger.TakenCount > 0) return false;
            if (_collected.Count > 0) Apply();
            if (_variables!.IsInitialized) _snapshots?.Save(_variables, _ledger, waits: true);
            return true;
        }
        if (!IsWithinBound()) return false;
        step = _ledger.Take(session.Worker, stepCount);
        session.OnTaken(step);
        return true;
    }

    // Whoever is at work may see an update of everybody else who is, and of the one who asks.
    private bool IsWithinBound()
    {
        if (_options.StalenessBound is not { } bound) return true;
        long version = _variables!.Version;
        int working = 0;
        long oldest = version;
        foreach (ParameterSession session in _sessions.Values)
        {
            if (session.TakenStep is null) continue;
            working++;
            oldest = Math.Min(oldest, session.BaseVersion ?? version);
        }
        return version - oldest + working <= bound;
    }

    private PushResult Drop(ParameterSession session, in GradientPush push, long staleness)
    {
        _dropped++;
        if (session.TakenStep == push.Step)
        {
            _ledger.Return(push.Step);
            session.OnFinished();
        }
        WakeAll();
        return new PushResult(PushOutcome.Dropped, _variables!.Version, staleness);
    }

    private void Apply()
    {
        _variables!.Apply(_collected.Count);
        foreach ((long step, long staleness) in _collected)
        {
            if (step >= 0) _ledger.MarkDone(step);
            _stalenessCounts[Math.Min(staleness, _stalenessCounts.Length - 1)]++;
            _largestStaleness = Math.Max(_largestStaleness, staleness);
        }
        _collected.Clear();
        _snapshots?.AfterUpdate(_variables, _ledger);
        WakeAll();
    }

    // Fewer gradients than an update wants, and nobody left who could add one.
    private void CloseIfStuck()
    {
        if (_collected.Count > 0 && _sessions.Values.All(session => session.IsWaiting)) Apply();
    }

    // Under the lock: takes note that the session waits, gives up silent workers, and returns what will wake it.
    private Task Wait(ParameterSession session)
    {
        Task changed = _changed.Task;
        session.IsWaiting = true;
        foreach (ParameterSession other in _sessions.Values.Where(other => other.IsSilentFor(_options.WorkerTimeout)).ToArray())
        {
            other.GiveUp($"worker '{other.Worker}' was given up: nothing was heard of its step for {_options.WorkerTimeout.TotalSeconds:0.#} s");
            Leave(other);
        }
        CloseIfStuck();
        return changed;
    }

    private async ValueTask WaitAsync(ParameterSession session, Task changed, Deadline deadline, string what, CancellationToken cancellation)
    {
        // Woken now and then to look for workers that fell silent.
        TimeSpan glance = TimeSpan.FromTicks(Math.Min(deadline.Left.Ticks, _options.WorkerTimeout.Ticks / 4));
        try
        {
            if (deadline.Left <= TimeSpan.Zero) throw new ParameterServerException($"worker '{session.Worker}' waited {_options.WaitTimeout.TotalSeconds:0.#} s for {what}") { IsRetryable = true };
            await changed.WaitAsync(glance > TimeSpan.Zero ? glance : TimeSpan.FromMilliseconds(1), cancellation).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
        }
        finally
        {
            lock (_lock) session.IsWaiting = false;
        }
    }

    // Whoever is woken looks again, and does not wait until then.
    private void WakeAll()
    {
        foreach (ParameterSession session in _sessions.Values) session.IsWaiting = false;
        TaskCompletionSource changed = _changed;
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        changed.SetResult();
    }

    private readonly struct Deadline(TimeSpan length)
    {
        private readonly long _began = System.Diagnostics.Stopwatch.GetTimestamp();

        internal TimeSpan Left => length - System.Diagnostics.Stopwatch.GetElapsedTime(_began);
    }
}
