namespace DistTrain.Cli;

/// <summary>A worker or a parameter server of a job through all its starts. What changes is changed under the launcher's lock.</summary>
internal sealed class ServedProcess(bool isServer, int index, LaunchOptions options, RankGuard guard)
{
    private const int OutputsPerStart = 2;
    private static readonly TimeSpan s_drainTimeout = TimeSpan.FromSeconds(1);
    private readonly List<OutputPump> _pumps = [];
    private OutputTail _tail = new();

    public bool IsServer => isServer;

    /// <summary>Its number among workers or servers.</summary>
    public int Index => index;

    public string Name => $"{(isServer ? "server" : "worker")} {index}";

    /// <summary>How often it was started again.</summary>
    public int RestartCount { get; private set; }

    /// <summary>Its process; null: not started yet.</summary>
    public RankProcess? Current { get; private set; }

    /// <summary>Whether it has ended and is not started again.</summary>
    public bool IsDone { get; set; }

    public bool HasEnded => Current?.Exit is not null;

    /// <summary>Starts it.</summary>
    /// <param name="environment">Lines of NAME=value.</param>
    /// <param name="cores">Cores it is bound to; null: all.</param>
    /// <param name="output">Where its standard output goes.</param>
    /// <param name="errors">Where its standard error goes.</param>
    /// <param name="ended">Called on a thread of its own when it has ended.</param>
    public void Start(IReadOnlyList<string> environment, int[]? cores, LineSink output, LineSink errors, Action ended)
    {
        string prefix = isServer ? Name : $"{index}", file = isServer ? $"server-{index}" : $"rank-{index}";
        _tail = new OutputTail();
        (RankProcess process, int standardOutput, int standardError) = RankProcess.Start(index, options.Command, environment, cores, guard, ended);
        Current = process;
        _pumps.Add(new OutputPump([new RankStream(standardOutput, prefix, _tail, output, RankLog.Create(options, RestartCount, file, "stdout"))], $"outputs of {Name}"));
        _pumps.Add(new OutputPump([new RankStream(standardError, prefix, _tail, errors, RankLog.Create(options, RestartCount, file, "stderr"))], $"errors of {Name}"));
    }

    /// <summary>After its end: ends what it has left in its group, and takes in what was still written. What a slow reader or a daemon holds up is carried on beside the next start.</summary>
    public void Settle()
    {
        Current!.Signal(SignalName.Kill);
        int first = _pumps.Count - OutputsPerStart;
        OutputPump[] rest = [.. _pumps.Where((pump, i) => !pump.Join(i < first ? TimeSpan.Zero : s_drainTimeout))];
        _pumps.Clear();
        _pumps.AddRange(rest);
    }

    /// <summary>Makes it ready to start again.</summary>
    public void Clear()
    {
        Reap();
        RestartCount++;
    }

    /// <summary>What it came to, with its last lines; once it has settled.</summary>
    public string Report()
    {
        RankExit exit = Current!.Exit!;
        string[] lines = _tail.Lines();
        string logs = options.LogFolder is null ? "" : $"; its logs: {RankLog.PathOf(options, RestartCount, isServer ? $"server-{index}" : $"rank-{index}", "stdout")} and stderr beside it";
        string tail = lines.Length == 0 ? "it wrote nothing" : $"its last {(lines.Length == 1 ? "line" : $"{lines.Length} lines")}:";
        return string.Join("\n    ", [$"{Name} (pid {exit.ProcessId}) failed with {exit}{logs}; {tail}", .. lines]);
    }

    /// <summary>When all who could write are gone: waits until what they wrote is passed on.</summary>
    /// <param name="waits">Whether to wait for a slow reader.</param>
    public void Finish(Func<bool> waits)
    {
        foreach (OutputPump pump in _pumps)
        {
            bool isDrained;
            do isDrained = pump.Join(s_drainTimeout);
            while (!isDrained && waits());
            pump.Abandon();
        }
        _pumps.Clear();
        if (HasEnded) Reap();
    }

    private void Reap()
    {
        // In this order: once it is reaped, its number may be another's, whom the guard must not kill.
        guard.Remove(Current!.Id);
        NativeProcess.Reap(Current.Id);
    }
}
