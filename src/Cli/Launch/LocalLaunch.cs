using DistTrain.Collectives;

namespace DistTrain.Cli;

/// <summary>A job on one machine: starts its ranks, and all of them again when one fails, as often as is allowed.</summary>
internal sealed class LocalLaunch(LaunchOptions options, JobSecret secret, LaunchSignals signals, LineSink errors, Func<RankPlacement, Func<bool>, GroupResult> runGroup)
{
    /// <returns>0, or the code of the first rank that failed in the last start, or 128 and the signal that ended the job.</returns>
    public int Run()
    {
        for (int restart = 0; ; restart++)
        {
            var placement = new RankPlacement(
                restart, 0, options.ProcessesPerNode, 0, 1, options.MasterAddress, options.MasterPort == 0 ? GenerationSecret.FreePort() : options.MasterPort,
                GenerationSecret.Derive(secret, restart), GenerationSecret.Rendezvous(restart));
            GroupResult result = runGroup(placement, () => false);
            if (result.IsComplete) return ExitCode.Ok;
            if (signals.StopSignal != 0) return LaunchEnd.OfStopped(result, signals.StopSignal);
            int code = result.FirstFailure?.ExitCode ?? ExitCode.Failure;
            if (signals.WasWarned && code == ExitCode.Retryable) return code;
            // What the command line asks for is as impossible the next time.
            if (restart == options.MaxRestarts || code == ExitCode.Usage)
            {
                if (restart == options.MaxRestarts && restart > 0) errors.Say($"all {restart} restarts are used up");
                else if (restart < options.MaxRestarts) errors.Say("exit code 2 means wrong usage: it would not help to start again");
                return code;
            }
            errors.Say($"restart {restart + 1} of {options.MaxRestarts}: all {options.ProcessesPerNode} ranks start again, because rank {result.FirstFailure?.Rank} failed ({result.FirstFailure})");
        }
    }
}
