using System.CommandLine;
using System.Diagnostics;

namespace DistTrain.Cli;

/// <summary><c>disttrain bench NAME ...</c>: starts the benchmark program with the same arguments; this tool does not contain it.</summary>
internal static class BenchCommand
{
    private const string ProgramVariable = "DISTTRAIN_BENCH";

    public static Command Create()
    {
        Argument<string[]> arguments = new("arguments") { Description = "NAME [--against PEERS] [--threads LIST] [--json FILE], or --list", Arity = ArgumentArity.ZeroOrMore };
        Command command = new("bench", "Runs benchmarks, ours and peers' in turn (the program in bench/).") { arguments };
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(parsed.GetValue(arguments) ?? [], cancellation)));
        return command;
    }

    /// <summary>The arguments exactly as given after the word bench: options belong to the benchmark program, which ends with this one.</summary>
    public static int Run(IReadOnlyList<string> arguments, CancellationToken cancellation)
    {
        string? program = Environment.GetEnvironmentVariable(ProgramVariable);
        if (string.IsNullOrEmpty(program) || !File.Exists(program))
            throw new InvalidOperationException($"the benchmark program is not here ({ProgramVariable}={program ?? "unset"}); run it through ./disttrain in the repository, which builds it");
        ProcessStartInfo start = new("dotnet") { UseShellExecute = false };
        start.ArgumentList.Add(program);
        start.ArgumentList.Add("rows");
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        using Process process = Process.Start(start) ?? throw new InvalidOperationException($"can't start {program}");
        // A signal to this process alone: its ranks and peers must not be left over.
        using (cancellation.Register(() => process.Kill(entireProcessTree: true))) process.WaitForExit();
        cancellation.ThrowIfCancellationRequested();
        return process.ExitCode;
    }
}
