using System.Diagnostics;

namespace DistTrain.Cli.Tests;

/// <summary>The command line as users meet it: a process with arguments, two outputs and an exit code.</summary>
internal static class Tool
{
    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(3);

    public static string Root { get; } = FindRoot();

    public static string Program => Path.Combine(Root, "artifacts", "bin", "DistTrain.Cli", new DirectoryInfo(AppContext.BaseDirectory).Name, "disttrain.dll");

    public static ToolResult Run(params string[] arguments) => RunWith([], arguments);

    public static ToolResult RunWith((string Name, string? Value)[] environment, params string[] arguments) =>
        Start("dotnet", environment, [Program, .. arguments]);

    public static ToolResult Start(string program, (string Name, string? Value)[] environment, params string[] arguments)
    {
        ProcessStartInfo start = new(program) { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Path.GetTempPath() };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        foreach ((string name, string? value) in environment) start.Environment[name] = value;
        using Process process = Process.Start(start) ?? throw new InvalidOperationException($"can't start {program}");
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(s_limit))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"disttrain {string.Join(' ', arguments)} took longer than {s_limit}");
        }
        return new ToolResult(process.ExitCode, output.Result, errors.Result);
    }

    /// <summary>Starts the tool and leaves it running: for those who want to do something to it.</summary>
    public static Process Begin(params string[] arguments) => BeginWith([], arguments);

    public static Process BeginWith((string Name, string? Value)[] environment, params string[] arguments)
    {
        ProcessStartInfo start = new("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true, WorkingDirectory = Path.GetTempPath() };
        foreach (string argument in (string[])[Program, .. arguments]) start.ArgumentList.Add(argument);
        foreach ((string name, string? value) in environment) start.Environment[name] = value;
        return Process.Start(start) ?? throw new InvalidOperationException("can't start the tool");
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "DistTrain.sln"))) return folder.FullName;
        throw new InvalidOperationException($"DistTrain.sln is in no folder above {AppContext.BaseDirectory}");
    }
}

internal sealed record ToolResult(int ExitCode, string Output, string Errors)
{
    public string LastLine => Output.TrimEnd().Split('\n')[^1];
}
