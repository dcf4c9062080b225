using System.CommandLine;
using DistTrain.Collectives;

namespace DistTrain.Cli;

/// <summary><c>disttrain launch ... -- program arguments</c>: starts a program as the ranks of a job, and looks after them.</summary>
internal static class LaunchCommand
{
    /// <param name="interruption">Hands its signals to the launcher.</param>
    /// <param name="program">What stood behind <c>--</c>; null if nothing did.</param>
    public static Command Create(Interruption interruption, IReadOnlyList<string>? program)
    {
        LaunchArguments arguments = new();
        Command command = new("launch", "Starts a program as the ranks of a job, with torchrun's environment: disttrain launch --nproc-per-node 2 -- program arguments");
        foreach (Option option in arguments.All) command.Add(option);
        command.SetAction((parsed, _) => Task.FromResult(Run(arguments.Read(parsed, program), parsed.GetValue(arguments.AllowCpuNodes), interruption)));
        return command;
    }

    /// <summary>Parts the launcher's own arguments from the program's, which belong to nobody else.</summary>
    public static (string[] Own, string[]? Program) Split(string[] arguments)
    {
        int end = Array.IndexOf(arguments, "--");
        return end < 0 ? (arguments, null) : (arguments[..end], arguments[(end + 1)..]);
    }

    private static int Run(LaunchOptions options, bool allowsCpuNodes, Interruption interruption)
    {
        if (!OperatingSystem.IsLinux()) throw new UsageException("launch works on Linux: it watches processes by Linux' own means");
        if (options.HasSeveralNodes && !options.IsServed && !allowsCpuNodes && MpiAdvice.IfNcclIsMissing(options) is { } advice) throw new UsageException(advice);
        JobSecret secret = JobSecret.FromEnvironment() ?? (!options.HasSeveralNodes && options.Role == LaunchRole.All
            ? JobSecret.Create()
            : throw new UsageException($"{(options.IsServed ? "--role" : "--nnodes")}: all {(options.IsServed ? "launchers of the job" : "nodes")} must have the same job secret; give each {JobSecret.Variable} (made once, by: openssl rand -hex 32) or {JobSecret.FileVariable}"));
        LineSink output = new(descriptor: 1), errors = new(descriptor: 2);
        using LaunchSignals signals = new(options.Grace, interruption);
        NativeProcess.AdoptOrphans();
        using RankGuard guard = new();
        try
        {
            if (options.IsServed) return new ServedLaunch(options, secret, signals, output, errors, guard).Run();
            GroupResult RunGroup(RankPlacement placement, Func<bool> isOver) => new RankGroup(options, signals, output, errors, guard).Run(placement, isOver);
            return options.HasSeveralNodes
                ? NodesLaunch.Run(options, secret, signals, errors, RunGroup)
                : new LocalLaunch(options, secret, signals, errors, RunGroup).Run();
        }
        finally
        {
            errors.Flush(TimeSpan.FromSeconds(2));
        }
    }
}
