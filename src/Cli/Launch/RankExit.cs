namespace DistTrain.Cli;

/// <summary>How a rank's process ended.</summary>
/// <param name="Rank">The rank.</param>
/// <param name="ProcessId">Its process.</param>
/// <param name="Code">The exit code; 0 if a signal ended it.</param>
/// <param name="Signal">The signal that ended it; 0 if it exited.</param>
internal sealed record RankExit(int Rank, int ProcessId, int Code, int Signal)
{
    public bool IsSuccess => Code == 0 && Signal == 0;

    /// <summary>As shells give it: 128 and the signal's number on top.</summary>
    public int ExitCode => Signal == 0 ? Code : 128 + Signal;

    public override string ToString() => Signal != 0 ? SignalName.Of(Signal) : Code == Cli.ExitCode.Retryable ? $"exit code {Code}, retryable" : $"exit code {Code}";
}
