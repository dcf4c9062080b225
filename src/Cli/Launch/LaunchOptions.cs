namespace DistTrain.Cli;

/// <summary>What <c>disttrain launch</c> was asked to do, checked.</summary>
internal sealed record LaunchOptions
{
    /// <summary>The program and its arguments.</summary>
    public required IReadOnlyList<string> Command { get; init; }

    public required int ProcessesPerNode { get; init; }

    public int MinNodes { get; init; } = 1;

    public int MaxNodes { get; init; } = 1;

    /// <summary>Which node this is; null: not said, as elastic groups number their nodes themselves.</summary>
    public int? NodeRank { get; init; }

    public string MasterAddress { get; init; } = "127.0.0.1";

    /// <summary>0: one that is free, another at each start.</summary>
    public int MasterPort { get; init; }

    public int MaxRestarts { get; init; }

    public string? LogFolder { get; init; }

    public required string RunId { get; init; }

    /// <summary>How often the launcher looks whether the group must form anew.</summary>
    public TimeSpan MonitorInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    /// <summary>From SIGTERM to SIGKILL.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether each rank is bound to its share of the cores.</summary>
    public bool IsBound { get; init; } = true;

    /// <summary>Parameter servers on this machine.</summary>
    public int ServerCount { get; init; }

    /// <summary>The number of the first of them among all.</summary>
    public int FirstServer { get; init; }

    /// <summary>What of a job with parameter servers is started here.</summary>
    public LaunchRole Role { get; init; }

    /// <summary>All parameter servers, <c>HOST:PORT,HOST:PORT</c>; null: those of this launcher, on ports that are free.</summary>
    public string? ParameterServers { get; init; }

    /// <summary>Whether it is a job with parameter servers.</summary>
    public bool IsServed => ServerCount > 0 || Role != LaunchRole.All;

    public bool HasSeveralNodes => MaxNodes > 1;
}

/// <summary>What a launcher starts of a job with parameter servers.</summary>
internal enum LaunchRole
{
    All = 0,
    Server = 1,
    Worker = 2,
}
