using System.Diagnostics;

namespace DistTrain.Bench;

/// <summary>The other ranks: this program again, once for each, with the rank in its environment. What they write goes to this one's standard error, with the rank before it.</summary>
public sealed class RankProcesses : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);
    private readonly List<Process> _processes = [];

    /// <summary>Starts ranks 1 and up with the same arguments.</summary>
    public RankProcesses(RankPlace leader, IReadOnlyList<string> arguments)
    {
        ArgumentNullException.ThrowIfNull(leader);
        try
        {
            for (int rank = 1; rank < leader.WorldSize; rank++) _processes.Add(Start(leader, rank, arguments));
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Waits for all to end.</summary>
    /// <exception cref="InvalidOperationException">One failed, or does not end.</exception>
    public void Join()
    {
        for (int i = 0; i < _processes.Count; i++)
        {
            if (!_processes[i].WaitForExit(s_patience)) throw new InvalidOperationException($"rank {i + 1} (process {_processes[i].Id}) does not end");
            if (_processes[i].ExitCode != 0) throw new InvalidOperationException($"rank {i + 1} ended with exit code {_processes[i].ExitCode}");
        }
    }

    /// <summary>Kills those that have not ended.</summary>
    public void Dispose()
    {
        foreach (Process process in _processes)
        {
            if (!process.HasExited) process.Kill(entireProcessTree: true);
            process.WaitForExit();
            process.Dispose();
        }
        _processes.Clear();
    }

    /// <summary>How to start this program: the host, and what comes before the arguments.</summary>
    public static IReadOnlyList<string> ThisProgram { get; } = Environment.ProcessPath is { } path && Path.GetFileNameWithoutExtension(path) != "dotnet"
        ? [path]
        : [Environment.ProcessPath ?? "dotnet", typeof(RankProcesses).Assembly.Location];

    private static Process Start(RankPlace leader, int rank, IReadOnlyList<string> arguments)
    {
        ProcessStartInfo start = new(ThisProgram[0], [.. ThisProgram.Skip(1), "rows", AllReduceCommand.Name, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach ((string variable, string value) in leader.EnvironmentOf(rank)) start.Environment[variable] = value;
        Process process = Process.Start(start)!;
        process.StandardInput.Close();
        process.OutputDataReceived += (_, line) => Pass(rank, line.Data);
        process.ErrorDataReceived += (_, line) => Pass(rank, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return process;
    }

    private static void Pass(int rank, string? line)
    {
        if (line is not null) Console.Error.WriteLine($"[rank {rank}] {line}");
    }
}
