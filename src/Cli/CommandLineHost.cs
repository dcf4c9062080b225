using System.CommandLine;
using System.CommandLine.Parsing;
using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>The front door: composes the commands, parses, runs, and turns what went wrong into a message and an exit code.</summary>
internal static class CommandLineHost
{
    public static int Run(string[] args)
    {
        using Interruption interruption = new();
        (args, string[]? launched) = args is ["launch", ..] ? LaunchCommand.Split(args) : (args, null);
        RootCommand root = Compose(interruption, launched);
        bool isBench = args is ["bench", not ("--help" or "-h" or "-?"), ..];
        ParseResult parsed = root.Parse(args.Length == 0 ? ["train", "--device", "auto"] : isBench ? ["bench"] : args);
        if (parsed.Errors.Count > 0) return ReportUsage(parsed);
        try
        {
            if (isBench) return BenchCommand.Run(args[1..], interruption.Token);
            InvocationConfiguration configuration = new() { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
            return parsed.InvokeAsync(configuration, interruption.Token).GetAwaiter().GetResult();
        }
        catch (Exception failure) when (!Fatal(failure))
        {
            return Report(failure, interruption);
        }
    }

    private static RootCommand Compose(Interruption interruption, IReadOnlyList<string>? launched)
    {
        RootCommand root = new("Distributed training and distillation for .NET. Without arguments: trains a ConvNet on the embedded Fashion-MNIST slice.");
        root.Add(TrainCommand.Create(interruption));
        root.Add(EvaluateCommand.Create());
        root.Add(PredictCommand.Create());
        root.Add(DataCommand.Create());
        root.Add(DevicesCommand.Create());
        root.Add(DoctorCommand.Create());
        root.Add(BenchCommand.Create());
        root.Add(LaunchCommand.Create(interruption, launched));
        return root;
    }

    private static int Report(Exception failure, Interruption interruption)
    {
        switch (failure)
        {
            case OperationCanceledException:
            case ParameterServerException when interruption.Token.IsCancellationRequested:
                Console.Error.WriteLine("disttrain: interrupted");
                return interruption.ExitCode;
            case UsageException or DeviceException { IsUnknownName: true }:
                Console.Error.WriteLine($"disttrain: {failure.Message}");
                return ExitCode.Usage;
            case PreemptedException or CollectiveException or ParameterServerException { IsRetryable: true }:
                Console.Error.WriteLine($"disttrain: {failure.Message}");
                return ExitCode.Retryable;
            default:
                Console.Error.WriteLine($"disttrain: {FailureText.Of(failure)}");
                if (Environment.GetEnvironmentVariable("DISTTRAIN_TRACE") == "1") Console.Error.WriteLine(failure);
                return ExitCode.Failure;
        }
    }

    private static bool Fatal(Exception failure) => failure is OutOfMemoryException and not InsufficientMemoryException or AccessViolationException;

    /// <summary>Names the nearest option or command for each word that was not understood.</summary>
    private static int ReportUsage(ParseResult parsed)
    {
        Command command = parsed.CommandResult.Command;
        IEnumerable<string> known = [.. command.Options.Select(option => option.Name), .. command.Subcommands.Select(sub => sub.Name)];
        foreach (string word in parsed.UnmatchedTokens)
            Console.Error.WriteLine($"disttrain: unknown {(word.StartsWith('-') ? "option" : "command or argument")} '{word}'.{NearestName.Hint(word, known)}");
        if (parsed.UnmatchedTokens.Count == 0)
            foreach (ParseError error in parsed.Errors) Console.Error.WriteLine($"disttrain: {FailureText.Of(error)}");
        string path = command is RootCommand ? "disttrain" : string.Join(' ', (string[])["disttrain", .. parsed.CommandResult.Parent is CommandResult { Command: not RootCommand and var parent } ? (string[])[parent.Name] : [], command.Name]);
        if (command.Name == "launch") Console.Error.WriteLine("The program to launch goes behind --, as in: disttrain launch --nproc-per-node 2 -- program arguments");
        Console.Error.WriteLine($"See: {path} --help");
        return ExitCode.Usage;
    }
}
