using System.Diagnostics;
using DistTrain.Collectives;

namespace DistTrain.Cli;

/// <summary>
/// A job with parameter servers on this machine: servers, workers or both. Whoever dies is started again alone, as often as is allowed in all; the others go on. When all workers have ended well the
/// servers are told to stop, and save themselves. Then nothing is left: no process, no child of one, no thread, no descriptor.
/// </summary>
internal sealed class ServedLaunch(LaunchOptions options, JobSecret secret, LaunchSignals signals, LineSink output, LineSink errors, RankGuard guard)
{
    private static readonly TimeSpan s_killTimeout = TimeSpan.FromSeconds(10);
    private readonly object _gate = new();
    private ServedProcess[] _processes = [];
    private ServedPlacement _placement = new(options, "", secret);
    private int[] _cores = [];
    private int[][]? _shares;
    private RankExit? _firstFailure;
    private int _restarts;
    private long _stoppedServersAt;
    private bool _areServersStopped;

    /// <returns>0, or the code of the first process that failed once restarts were used up, or 128 and the signal that ended the job.</returns>
    public int Run()
    {
        RankSweep sweep = new(guard.ProcessId);
        _cores = NativeProcess.GetAffinity();
        int servers = options.Role == LaunchRole.Worker ? 0 : options.ServerCount, workers = options.Role == LaunchRole.Server ? 0 : options.ProcessesPerNode;
        _shares = options.IsBound && workers > 0 ? CoreShares.Divide(_cores, workers) : null;
        IEnumerable<int> ports = options.MasterPort == 0 ? GenerationSecret.FreePorts(servers) : Enumerable.Range(options.MasterPort, servers);
        _placement = _placement with { Servers = options.ParameterServers ?? string.Join(',', ports.Select(port => $"127.0.0.1:{port}")) };
        int first = (options.NodeRank ?? 0) * workers;
        _processes = [.. Enumerable.Range(options.FirstServer, servers).Select(i => new ServedProcess(true, i, options, guard)), .. Enumerable.Range(first, workers).Select(i => new ServedProcess(false, i, options, guard))];
        try
        {
            lock (_gate)
                foreach (ServedProcess process in _processes) Start(process);
            signals.ForwardTo(Forward);
            return Watch();
        }
        finally
        {
            Stop(sweep);
            signals.ForwardTo(null);
            foreach (ServedProcess process in _processes.Where(process => process.Current is not null)) process.Finish(() => signals.StopSignal == 0);
        }
    }

    private void Start(ServedProcess process)
    {
        int[]? cores = process.IsServer ? null : _shares?[process.Index % options.ProcessesPerNode];
        process.Start(_placement.Environment(process, cores, _cores.Length), cores, output, errors, () =>
        {
            lock (_gate) Monitor.PulseAll(_gate);
        });
    }

    private int Watch()
    {
        while (true)
        {
            lock (_gate)
            {
                foreach (ServedProcess process in _processes.Where(process => !process.IsDone && process.HasEnded))
                    if (Ended(process) is { } failure) return failure;
                StopServersWhenDone();
                if (_processes.All(process => process.IsDone)) return Code();
                bool isLate = _areServersStopped && Stopwatch.GetElapsedTime(_stoppedServersAt) > options.Grace;
                if (signals.MustKill || isLate) return isLate && signals.StopSignal == 0 ? ExitCode.Failure : Code();
                Monitor.Wait(_gate, options.MonitorInterval);
            }
        }
    }

    /// <returns>The job's exit code if this end is also the job's.</returns>
    private int? Ended(ServedProcess process)
    {
        RankExit exit = process.Current!.Exit!;
        bool isAsked = signals.StopSignal != 0 || (process.IsServer && _areServersStopped) || (signals.WasWarned && exit.ExitCode == ExitCode.Retryable);
        if (isAsked || (exit.IsSuccess && !process.IsServer))
        {
            process.IsDone = true;
            // A server that was told to stop may have no more to say than the signal.
            bool isTold = process.IsServer && _areServersStopped && exit.Signal == SignalName.Terminate;
            if (!exit.IsSuccess && !isTold) _firstFailure ??= exit;
            return null;
        }
        process.Settle();
        errors.Say(process.Report());
        // What the command line asks for is as impossible the next time.
        if (_restarts == options.MaxRestarts || exit.ExitCode == ExitCode.Usage)
        {
            if (_restarts > 0) errors.Say(_restarts == options.MaxRestarts ? $"all {_restarts} restarts are used up" : "it would not help to start it again");
            return exit.IsSuccess ? ExitCode.Failure : exit.ExitCode;
        }
        process.Clear();
        errors.Say($"restart {++_restarts} of {options.MaxRestarts}: {process.Name} starts again; {(process.IsServer ? "workers wait for it" : "the others go on")}");
        Start(process);
        return null;
    }

    // When all workers are done; where there are none, when the job is told to stop.
    private void StopServersWhenDone()
    {
        if (_areServersStopped || !_processes.Where(process => !process.IsServer).All(process => process.IsDone)) return;
        bool hasWorkers = _processes.Any(process => !process.IsServer);
        if (!hasWorkers && signals.StopSignal == 0) return;
        (_areServersStopped, _stoppedServersAt) = (true, Stopwatch.GetTimestamp());
        foreach (ServedProcess server in _processes.Where(process => process.IsServer && !process.HasEnded)) server.Current!.Signal(SignalName.Terminate);
    }

    private int Code()
    {
        if (_firstFailure is not { } failure) return signals.StopSignal != 0 && _processes.Any(process => !process.IsDone) ? 128 + signals.StopSignal : ExitCode.Ok;
        return failure.Signal == 0 ? failure.Code : signals.StopSignal != 0 ? 128 + signals.StopSignal : failure.ExitCode;
    }

    // What ends the job goes to workers first: their last steps need the servers.
    private void Forward(int signal)
    {
        bool ends = signal is SignalName.Interrupt or SignalName.Terminate or SignalName.Hangup;
        lock (_gate)
        {
            foreach (ServedProcess process in _processes.Where(process => process.Current is not null && !process.HasEnded))
                if (!process.IsServer || !ends) process.Current!.Signal(signal);
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>SIGTERM, the grace time, SIGKILL, to whatever is left of the processes and what they have started.</summary>
    private void Stop(RankSweep sweep)
    {
        RankProcess[] left = [.. _processes.Select(process => process.Current).OfType<RankProcess>()];
        if (left.Length == 0 || sweep.IsClean(left)) return;
        if (!signals.MustKill)
        {
            foreach (RankProcess process in left)
            {
                process.Signal(SignalName.Terminate);
                process.Signal(SignalName.Continue);
            }
            foreach (int stray in sweep.Strays(left)) NativeProcess.Kill(stray, SignalName.Terminate);
            sweep.AwaitClean(left, options.Grace, () => signals.MustKill);
        }
        ServedProcess[] late = [.. _processes.Where(process => process.Current is not null && !process.HasEnded)];
        if (late.Length > 0) errors.Say($"{string.Join(", ", late.Select(process => process.Name))} did not end in the grace time of {options.Grace.TotalSeconds:0.#} s: SIGKILL");
        if (!sweep.Kill(left, s_killTimeout)) errors.Say("some processes do not end on SIGKILL: they wait in the kernel");
    }
}
