using System.Diagnostics;
using System.Runtime.InteropServices;

namespace DistTrain.Engines.Tests;

/// <summary>A program as a user starts it: arguments, environment, both outputs, an exit code; always ended.</summary>
internal sealed partial class Command : IDisposable
{
    internal const int Terminate = 15;
    private readonly Process _process;
    private readonly Task<string> _output, _errors;
    private readonly string _line;

    internal Command((string Name, string? Value)[] environment, string program, params string[] arguments)
    {
        ProcessStartInfo start = new(program) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Path.GetTempPath() };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        foreach ((string name, string? value) in environment) start.Environment[name] = value;
        _line = $"{program} {string.Join(' ', arguments)}";
        _process = Process.Start(start) ?? throw new InvalidOperationException($"can't start {program}");
        _output = _process.StandardOutput.ReadToEndAsync();
        _errors = _process.StandardError.ReadToEndAsync();
    }

    internal int ProcessId => _process.Id;

    internal static CommandResult Run((string Name, string? Value)[] environment, string program, params string[] arguments)
    {
        using Command command = new(environment, program, arguments);
        return command.Wait();
    }

    /// <summary>Where PATH (and /usr/sbin) has a program; null if nowhere.</summary>
    internal static string? Find(string program) =>
        (Environment.GetEnvironmentVariable("PATH") + ":/usr/sbin").Split(':', StringSplitOptions.RemoveEmptyEntries).Select(folder => Path.Combine(folder, program)).FirstOrDefault(File.Exists);

    internal void Signal(int signal) => Assert.Equal(0, SendSignal(_process.Id, signal));

    internal CommandResult Wait(int seconds = 60)
    {
        bool ended = _process.WaitForExit(TimeSpan.FromSeconds(seconds));
        if (!ended) _process.Kill(entireProcessTree: true);
        // What outlives the program may hold its outputs open: that is a leftover, and an error.
        bool closed = Task.WaitAll([_output, _errors], TimeSpan.FromSeconds(10));
        string output = closed ? _output.Result : "(still open)", errors = closed ? _errors.Result : "(still open)";
        Assert.True(ended && closed, $"{_line}: {(ended ? "processes of it are left" : $"took longer than {seconds} s")}\n{output}\n{errors}");
        return new CommandResult(_process.ExitCode, output, errors);
    }

    public void Dispose()
    {
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int processId, int signal);
}

internal sealed record CommandResult(int ExitCode, string Output, string Errors)
{
    internal string[] Lines => [.. Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order(StringComparer.Ordinal)];

    public override string ToString() => $"exit code {ExitCode}\n{Output}\n{Errors}";
}
