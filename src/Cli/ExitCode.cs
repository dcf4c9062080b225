namespace DistTrain.Cli;

/// <summary>What the process tells its caller. 75 (EX_TEMPFAIL) means that a retry can mend it: a peer was lost, or the run was stopped and saved itself.</summary>
internal static class ExitCode
{
    public const int Ok = 0;
    public const int Failure = 1;
    public const int Usage = 2;
    public const int Retryable = 75;
    public const int Interrupted = 130;
    public const int Terminated = 143;
}
