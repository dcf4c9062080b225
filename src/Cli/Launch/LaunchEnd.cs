namespace DistTrain.Cli;

/// <summary>The launcher's own exit code.</summary>
internal static class LaunchEnd
{
    /// <summary>After a signal: what the first rank that did not end well says, such as the retryable code after a checkpoint; if that was a signal, the one that the launcher got.</summary>
    public static int OfStopped(GroupResult result, int signal) => result.IsComplete ? ExitCode.Ok : result.FirstFailure is { Signal: 0 } exit ? exit.Code : 128 + signal;
}
