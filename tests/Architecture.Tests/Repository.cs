using System.Diagnostics;

namespace DistTrain.Architecture.Tests;

/// <summary>The checkout that these tests judge.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    public static string PathOf(params string[] parts) => Path.Combine([Root, .. parts]);

    /// <summary>Runs a program and gives its exit code and everything it printed; ends it after the time limit.</summary>
    public static (int ExitCode, string Output) Run(string directory, TimeSpan limit, string program, params string[] arguments)
    {
        ProcessStartInfo start = new(program) { WorkingDirectory = directory, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        using Process process = Process.Start(start) ?? throw new InvalidOperationException($"can't start {program}");
        Task<string> output = process.StandardOutput.ReadToEndAsync(), errors = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(limit))
        {
            process.Kill(entireProcessTree: true);
            throw new TimeoutException($"{program} {string.Join(' ', arguments)} took longer than {limit}");
        }
        return (process.ExitCode, output.Result + errors.Result);
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "DistTrain.sln"))) return folder.FullName;
        throw new InvalidOperationException($"DistTrain.sln is in no folder above {AppContext.BaseDirectory}");
    }
}
