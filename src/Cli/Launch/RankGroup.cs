using System.Diagnostics;

namespace DistTrain.Cli;

/// <summary>
/// One start of this node's ranks: starts them, passes outputs and signals on, and ends when all have ended, one has failed, a signal says so or the caller does. Then nothing of it is left:
/// no rank, no child of one, no thread, no descriptor.
/// </summary>
internal sealed class RankGroup(LaunchOptions options, LaunchSignals signals, LineSink output, LineSink errors, RankGuard guard)
{
    // A rank that loses its peer leaves with the retryable code within milliseconds of the peer's death: the peer's end may be seen after it, and is the cause.
    private static readonly TimeSpan SettleTime = TimeSpan.FromMilliseconds(300), KillTimeout = TimeSpan.FromSeconds(10), DrainTimeout = TimeSpan.FromSeconds(1),
        AdoptionInterval = TimeSpan.FromSeconds(10);
    private readonly object _gate = new();
    private readonly List<RankProcess> _ranks = [];
    private readonly List<RankExit> _failures = [];
    private readonly List<OutputPump> _pumps = [];
    private readonly Dictionary<int, OutputTail> _tails = [];

    /// <param name="placement">Where the ranks stand.</param>
    /// <param name="isOver">Asked now and then: whether to stop the ranks because the group forms anew.</param>
    public GroupResult Run(RankPlacement placement, Func<bool> isOver)
    {
        RankSweep sweep = new(guard.ProcessId);
        GroupResult result;
        try
        {
            Start(placement);
            signals.ForwardTo(Forward);
            result = Watch(isOver, sweep);
        }
        finally
        {
            Stop(sweep);
            signals.ForwardTo(null);
            Finish();
        }
        // Signalled ranks end while all are being stopped; who did not end well then is told by the signal.
        RankExit? failure = result.FirstFailure ?? (signals.StopSignal != 0 ? _ranks.Select(rank => rank.Exit).FirstOrDefault(exit => exit is { IsSuccess: false }) : null);
        if (failure is not null && signals.StopSignal == 0) Report(failure, placement);
        return result with { FirstFailure = failure };
    }

    private void Start(RankPlacement placement)
    {
        int[] all = NativeProcess.GetAffinity();
        int[][]? shares = options.IsBound ? CoreShares.Divide(all, options.ProcessesPerNode) : null;
        var outputs = new List<RankStream>();
        var errorOutputs = new List<RankStream>();
        try
        {
            for (int local = 0; local < options.ProcessesPerNode; local++)
            {
                int rank = placement.FirstRank + local;
                OutputTail tail = _tails[rank] = new OutputTail();
                (RankProcess process, int standardOutput, int standardError) =
                    RankProcess.Start(rank, options.Command, placement.Environment(options, local, shares?[local], all.Length), shares?[local], guard, Ended);
                lock (_gate) _ranks.Add(process);
                outputs.Add(new RankStream(standardOutput, $"{rank}", tail, output, RankLog.Create(options, placement.Generation, $"rank-{rank}", "stdout")));
                errorOutputs.Add(new RankStream(standardError, $"{rank}", tail, errors, RankLog.Create(options, placement.Generation, $"rank-{rank}", "stderr")));
            }
        }
        finally
        {
            _pumps.Add(new OutputPump(outputs, "outputs"));
            _pumps.Add(new OutputPump(errorOutputs, "error outputs"));
        }
    }

    private GroupResult Watch(Func<bool> isOver, RankSweep sweep)
    {
        long lastLook = Stopwatch.GetTimestamp();
        while (true)
        {
            if (Stopwatch.GetElapsedTime(lastLook) > AdoptionInterval)
            {
                // Daemons that ranks have started are ours when they end.
                sweep.Strays(Snapshot());
                lastLook = Stopwatch.GetTimestamp();
            }
            lock (_gate)
            {
                // Before they are collected: one that ends in between is no success because its failure was not seen.
                bool haveAllEnded = _ranks.All(rank => rank.Exit is not null);
                Collect();
                if (!haveAllEnded && _failures.Count == 0) Monitor.Wait(_gate, options.MonitorInterval);
                else if (signals.StopSignal != 0 && !haveAllEnded) Monitor.Wait(_gate, options.MonitorInterval);
                else if (_failures.Count == 0) return new GroupResult(null, IsComplete: true);
                else return new GroupResult(FirstFailure(), IsComplete: false);
            }
            if (signals.MustKill || isOver()) return new GroupResult(null, IsComplete: false);
        }
    }

    private RankExit FirstFailure()
    {
        // The others, too, may end by themselves now, with what they have to say about it.
        long began = Stopwatch.GetTimestamp();
        for (TimeSpan left = SettleTime; left > TimeSpan.Zero && _ranks.Any(rank => rank.Exit is null) && !signals.MustKill; left = SettleTime - Stopwatch.GetElapsedTime(began)) Monitor.Wait(_gate, left);
        Collect();
        RankExit first = _failures.Find(failure => failure.ExitCode != ExitCode.Retryable) ?? _failures[0];
        int others = _ranks.Count(rank => rank.Exit is null);
        if (signals.StopSignal == 0) errors.Say($"rank {first.Rank} (pid {first.ProcessId}) failed: {first}{(others == 0 ? "" : $"; stopping {(others == 1 ? "the one that still runs" : $"the {others} that still run")}")}");
        return first;
    }

    private void Collect()
    {
        foreach (RankProcess rank in _ranks)
            if (rank.Exit is { IsSuccess: false } exit && !_failures.Contains(exit)) _failures.Add(exit);
    }

    private void Ended()
    {
        lock (_gate)
        {
            Collect();
            Monitor.PulseAll(_gate);
        }
    }

    private void Forward(int signal)
    {
        foreach (RankProcess rank in Snapshot()) rank.Signal(signal);
    }

    private RankProcess[] Snapshot()
    {
        lock (_gate) return [.. _ranks];
    }

    /// <summary>SIGTERM, the grace time, SIGKILL, to whatever is left of the ranks and what they have started.</summary>
    private void Stop(RankSweep sweep)
    {
        RankProcess[] ranks = Snapshot();
        if (ranks.Length == 0 || sweep.IsClean(ranks)) return;
        if (!signals.MustKill)
        {
            // A stopped process takes its SIGTERM when it goes on.
            Forward(SignalName.Terminate);
            Forward(SignalName.Continue);
            foreach (int stray in sweep.Strays(ranks)) NativeProcess.Kill(stray, SignalName.Terminate);
            sweep.AwaitClean(ranks, options.Grace, () => signals.MustKill);
        }
        RankProcess[] late = [.. ranks.Where(rank => rank.Exit is null)];
        if (late.Length > 0) errors.Say($"{(late.Length == 1 ? "rank" : "ranks")} {string.Join(", ", late.Select(rank => rank.Rank))} did not end in the grace time of {options.Grace.TotalSeconds:0.#} s: SIGKILL");
        if (!sweep.Kill(ranks, KillTimeout)) errors.Say($"some processes of ranks {string.Join(", ", ranks.Select(rank => rank.Rank))} do not end on SIGKILL: they wait in the kernel");
    }

    private void Finish()
    {
        // Whoever reads our outputs may take its time, unless we were told to end. All who could write are gone.
        foreach (OutputPump pump in _pumps)
        {
            bool isDrained;
            do isDrained = pump.Join(DrainTimeout);
            while (!isDrained && signals.StopSignal == 0);
            pump.Abandon();
        }
        foreach (RankProcess rank in _ranks.Where(rank => rank.Exit is not null))
        {
            // In this order: once it is reaped, its number may be another's, whom the guard must not kill.
            guard.Remove(rank.Id);
            NativeProcess.Reap(rank.Id);
        }
    }

    private void Report(RankExit failure, RankPlacement placement)
    {
        string[] lines = _tails[failure.Rank].Lines();
        string logs = options.LogFolder is null ? "" : $"; its logs: {RankLog.PathOf(options, placement.Generation, $"rank-{failure.Rank}", "stdout")} and stderr beside it";
        string tail = lines.Length == 0 ? "it wrote nothing" : $"its last {(lines.Length == 1 ? "line" : $"{lines.Length} lines")}:";
        errors.Say(string.Join("\n    ", [$"rank {failure.Rank} (pid {failure.ProcessId}) was the first to fail, with {failure}{logs}; {tail}", .. lines]));
    }
}
