using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace DistTrain.Bench;

/// <summary>A peer in a process of its own, asked one case at a time: <c>bench/peers/README.md</c> has the protocol.</summary>
public sealed class PeerProcess : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);
    private static readonly string[] s_engines = ["OMPI_", "PMIX_", "PRTE_", "PMI_"];
    private readonly Process _process;

    private PeerProcess(string name, Process process)
    {
        Name = name;
        _process = process;
    }

    /// <summary>The peer's name in rows.</summary>
    public string Name { get; }

    /// <summary>What the peer said of itself: versions, threads.</summary>
    public string Description { get; private set; } = "";

    /// <summary>Starts the program and waits until it is ready; null with the reason if it does not get there.</summary>
    public static PeerProcess? TryStart(string name, string program, IEnumerable<string> arguments, IReadOnlyDictionary<string, string> environment, out string? reason)
    {
        ProcessStartInfo start = new(program, arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        // A peer that is a job of its own must not take itself for a part of the one that this process belongs to.
        foreach (string key in start.Environment.Keys.Where(key => s_engines.Any(engine => key.StartsWith(engine, StringComparison.Ordinal))).ToArray()) start.Environment.Remove(key);
        foreach ((string key, string value) in environment) start.Environment[key] = value;
        try
        {
            PeerProcess peer = new(name, Process.Start(start)!);
            peer._process.ErrorDataReceived += (_, _) => { };
            peer._process.BeginErrorReadLine();
            string? line = peer.ReadLine();
            if (line is not null && line.StartsWith("ready ", StringComparison.Ordinal))
            {
                peer.Description = line["ready ".Length..];
                reason = null;
                return peer;
            }
            reason = $"{program} did not start: {line ?? "no answer"}";
            peer.Dispose();
        }
        catch (Win32Exception failure)
        {
            reason = failure.Message;
        }
        return null;
    }

    /// <summary>True if the program runs and exits with 0.</summary>
    public static bool Succeeds(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            process.StandardOutput.ReadToEnd();
            return process.WaitForExit(s_patience) && process.ExitCode == 0;
        }
        catch (Win32Exception)
        {
            return false;
        }
    }

    /// <summary>Seconds a call of a case, or null with the reason if the peer can't do it (then it is not asked again).</summary>
    public double? SecondsPerCall(string question, int milliseconds, out string? reason)
    {
        string? answer;
        try
        {
            _process.StandardInput.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{milliseconds} {question}"));
            _process.StandardInput.Flush();
            answer = ReadLine();
        }
        catch (IOException)
        {
            answer = null;
        }
        if (double.TryParse(answer, CultureInfo.InvariantCulture, out double seconds))
        {
            reason = null;
            return seconds;
        }
        reason = answer ?? "died or took too long";
        return null;
    }

    /// <summary>Ends the process: closes its input, and kills it if that is not enough.</summary>
    public void Dispose()
    {
        try
        {
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It is gone already.
        }
        if (!_process.WaitForExit(TimeSpan.FromSeconds(5))) _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    private string? ReadLine()
    {
        Task<string?> line = _process.StandardOutput.ReadLineAsync();
        if (line.Wait(s_patience)) return line.Result;
        _process.Kill(entireProcessTree: true);
        return null;
    }
}
