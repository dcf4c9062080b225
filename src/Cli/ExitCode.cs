namespace DistTrain.Cli;

/// <summary>What the process tells its caller. 75 (EX_TEMPFAIL) is kept for failures that a retry can mend.</summary>
internal static class ExitCode
{
    public const int Ok = 0;
    public const int Failure = 1;
    public const int Usage = 2;
    public const int Interrupted = 130;
    public const int Terminated = 143;
}
