using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;

namespace DistTrain.Collectives.Tests;

/// <summary>What a rank's process wrote when its communicator failed.</summary>
public sealed record RankFailure(string Type, int? Lost, int? Pid, string? Reason, ulong? Sequence, string? Verb, string Again, string Message);

/// <summary>The processes of one job on this host: started, watched, killed, and gone in the end.</summary>
internal sealed partial class RankProcesses : IDisposable
{
    internal const int Kill = 9, Stop = 19, Continue = 18;
    private readonly Process[] _processes;

    internal RankProcesses(string scenario, int worldSize, int timeoutMs = 20_000, Action<int, IDictionary<string, string?>>? change = null)
    {
        string address = $"@disttrain-test-{Environment.ProcessId}-{Guid.NewGuid():N}", secret = Convert.ToHexString(RandomNumberGenerator.GetBytes(32));
        _processes = [.. Enumerable.Range(0, worldSize).Select(rank => Start(scenario, new Dictionary<string, string?>
        {
            ["RANK"] = rank.ToString(CultureInfo.InvariantCulture), ["WORLD_SIZE"] = worldSize.ToString(CultureInfo.InvariantCulture), ["ADDRESS"] = address, ["SECRET"] = secret,
            ["TIMEOUT_MS"] = timeoutMs.ToString(CultureInfo.InvariantCulture),
        }, rank, change))];
    }

    internal Process this[int rank] => _processes[rank];

    /// <summary>Waits until every rank has done its first all-reduce.</summary>
    internal void WaitUntilReady()
    {
        for (int rank = 0; rank < _processes.Length; rank++) Assert.Equal("ready", ReadLine(rank));
    }

    internal void Signal(int rank, int signal) => Assert.Equal(0, SendSignal(_processes[rank].Id, signal));

    /// <summary>The failure that a rank reports; its exit code must be 75.</summary>
    internal RankFailure Failure(int rank)
    {
        RankFailure failure = JsonSerializer.Deserialize<RankFailure>(ReadLine(rank))!;
        Assert.True(_processes[rank].WaitForExit(10_000), $"rank {rank} still runs after its failure");
        Assert.Equal(75, _processes[rank].ExitCode);
        return failure;
    }

    internal string ReadLine(int rank)
    {
        Task<string?> line = _processes[rank].StandardOutput.ReadLineAsync();
        Assert.True(line.Wait(TimeSpan.FromSeconds(60)), $"rank {rank} says nothing");
        return line.Result ?? throw new InvalidOperationException($"rank {rank} ended with {(_processes[rank].WaitForExit(5000) ? _processes[rank].ExitCode : -1)}: {_processes[rank].StandardError.ReadToEnd()}");
    }

    public void Dispose()
    {
        foreach (Process process in _processes)
        {
            if (!process.HasExited) process.Kill();
            process.WaitForExit();
            process.Dispose();
        }
    }

    private static Process Start(string scenario, Dictionary<string, string?> variables, int rank, Action<int, IDictionary<string, string?>>? change)
    {
        string program = Path.Combine(AppContext.BaseDirectory, "RankProgram.dll");
        ProcessStartInfo start = new("dotnet", [program, scenario]) { RedirectStandardOutput = true, RedirectStandardError = true };
        change?.Invoke(rank, variables);
        foreach ((string name, string? value) in variables) start.Environment[name] = value;
        start.Environment["DOTNET_TieredCompilation"] = "1";
        return Process.Start(start)!;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int SendSignal(int process, int signal);
}
