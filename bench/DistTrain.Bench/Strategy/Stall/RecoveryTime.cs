using System.Diagnostics;
using System.Globalization;

namespace DistTrain.Bench;

/// <summary>How long a job of two processes stands still when one is killed: <c>disttrain launch --max-restarts</c> stops the other, starts both again, and they go on from the last checkpoint.</summary>
public static class RecoveryTime
{
    private static readonly TimeSpan s_patience = TimeSpan.FromMinutes(2);

    /// <summary>The command-line tool beside this program; null where it was not built.</summary>
    public static string? Tool { get; } = Find();

    /// <summary>Kills the second rank once and waits until it trains again.</summary>
    /// <returns>Seconds from SIGKILL to its next batch.</returns>
    /// <exception cref="IOException">The job did not begin, or did not come back.</exception>
    public static double Measure()
    {
        string folder = Directory.CreateTempSubdirectory("disttrain-bench-recovery-").FullName, log = Path.Combine(folder, "samples"), second = $"{log}.1";
        string[] training = ["train", "--data", "digits", "--model", "mlp", "--steps", "1000000", "--epochs", "100000", "--checkpoint", Path.Combine(folder, "checkpoints"), "--checkpoint-every", "100",
            "--output", Path.Combine(folder, "run"), "--sample-log", log];
        ProcessStartInfo start = new("dotnet", [Tool!, "launch", "--nproc-per-node", "2", "--max-restarts", "3", "--", "dotnet", Tool!, .. training]) { RedirectStandardOutput = true, RedirectStandardError = true };
        using Process job = Process.Start(start)!;
        try
        {
            job.OutputDataReceived += (_, _) => { };
            job.ErrorDataReceived += (_, _) => { };
            job.BeginOutputReadLine();
            job.BeginErrorReadLine();
            Await(job, () => Length(second) > 0 && Directory.Exists(Path.Combine(folder, "checkpoints")) && Directory.GetDirectories(Path.Combine(folder, "checkpoints")).Length > 0, "does not begin");
            using var rank = Process.GetProcessById(SecondRank(job.Id));
            long killed = Stopwatch.GetTimestamp();
            rank.Kill();
            rank.WaitForExit();
            long before = Length(second);
            Await(job, () => Length(second) > before, "does not come back");
            return Stopwatch.GetElapsedTime(killed).TotalSeconds;
        }
        finally
        {
            if (!job.HasExited) job.Kill(entireProcessTree: true);
            job.WaitForExit();
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Await(Process job, Func<bool> isThere, string failure)
    {
        long began = Stopwatch.GetTimestamp();
        while (!isThere())
        {
            if (job.HasExited || Stopwatch.GetElapsedTime(began) > s_patience) throw new IOException($"the job under disttrain launch {failure}{(job.HasExited ? $": it ended with {job.ExitCode}" : "")}");
            Thread.Sleep(2);
        }
    }

    private static long Length(string file) => File.Exists(file) ? new FileInfo(file).Length : 0;

    // Of the launcher's children, the one whose environment says RANK=1.
    private static int SecondRank(int launcher) => Directory.GetDirectories("/proc").Select(Path.GetFileName)
        .Select(name => int.TryParse(name, CultureInfo.InvariantCulture, out int process) ? process : 0).Where(process => process > 0).FirstOrDefault(process => IsSecond(process, launcher)) is > 0 and int found
        ? found : throw new IOException("the second rank is not among the launcher's processes");

    private static bool IsSecond(int process, int launcher)
    {
        try
        {
            return File.ReadAllText($"/proc/{process}/status").Contains($"PPid:\t{launcher}\n", StringComparison.Ordinal) && File.ReadAllText($"/proc/{process}/environ").Split('\0').Contains("RANK=1");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static string? Find()
    {
        string tool = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "DistTrain.Cli", new DirectoryInfo(AppContext.BaseDirectory).Name, "disttrain.dll"));
        return OperatingSystem.IsLinux() && File.Exists(tool) ? tool : null;
    }
}
