using System.Globalization;
using System.Text.RegularExpressions;
using DistTrain.TestKit;

namespace DistTrain.Cli.Tests;

/// <summary><c>disttrain train --trace</c>: what all processes of a job did, in one file.</summary>
public sealed partial class TraceTests
{
    private static readonly string[] s_training = ["train", "--data", "digits", "--model", "mlp", "--steps", "30", "--seed", "5"];

    [Fact]
    public void Two_processes_write_one_trace_with_the_spans_of_both()
    {
        using TemporaryFolder folder = new();
        ToolResult result = Tool.Run(["launch", "--nproc-per-node", "2", "--", "dotnet", Tool.Program, .. s_training, "--output", folder["run"], "--trace", folder["out.json.gz"]]);
        Assert.True(result.ExitCode == 0, result.Errors);

        TraceReading read = new(folder["out.json.gz"]);

        read.AssertNested();
        Assert.Equal([0, 1], read.Processes.Keys.Order());
        Assert.NotEqual(ProcessOf(read.Processes[0]), ProcessOf(read.Processes[1]));
        for (int rank = 0; rank < 2; rank++)
        {
            Assert.Equal("all spans, rank 0's clock", read.Labels[rank]);
            Assert.Equal(30, read.Of("step", rank).Count());
            Assert.All(read.Of("communication", rank).GroupBy(each => each.Arguments.GetProperty("bucket").GetInt32()), bucket => Assert.Equal(30, bucket.Count()));
        }
        // By one clock: a reduction begins on both before it ends on either.
        Assert.All(read.Of("communication", 0).Zip(read.Of("communication", 1)), pair => Assert.True(pair.First.Start < pair.Second.End && pair.Second.Start < pair.First.End, $"{pair}"));
        Assert.False(File.Exists(folder["out.rank1.json.gz"]));
    }

    [Fact]
    public void A_process_that_is_killed_leaves_the_parts_of_the_others()
    {
        using TemporaryFolder folder = new();
        using System.Diagnostics.Process launch = Tool.Begin(["launch", "--nproc-per-node", "2", "--", "dotnet", Tool.Program, .. s_training[..^4], "--steps", "1000000", "--epochs", "100000", "--sample-log", folder["samples"],
            "--output", folder["run"], "--trace", folder["out.json"]]);
        Task<string> errors = launch.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken), output = launch.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        try
        {
            // The second rank writes its samples: it trains.
            Assert.True(SpinWait.SpinUntil(() => File.Exists(folder["samples.1"]) && new FileInfo(folder["samples.1"]).Length > 1000, TimeSpan.FromMinutes(1)), "the second rank does not train");
            Kill(SecondRank(launch.Id));
            Assert.True(launch.WaitForExit(TimeSpan.FromMinutes(1)), "launch does not end");
        }
        finally
        {
            if (!launch.HasExited) launch.Kill(entireProcessTree: true);
        }
        TraceReading read = new(folder["out.rank0.json"]);
        Assert.Equal([0], read.Processes.Keys);
        Assert.NotEmpty(read.Of("step"));
        Assert.False(File.Exists(folder["out.json"]));
    }

    [Fact]
    public void A_folder_is_no_file_for_a_trace()
    {
        using TemporaryFolder folder = new();
        ToolResult result = Tool.Run([.. s_training, "--trace", folder["."]]);
        Assert.Equal((2, true), (result.ExitCode, result.Errors.Contains("expected the name of a file", StringComparison.Ordinal)));
    }

    private static string ProcessOf(string name) => ProcessNumber().Match(name).Value;

    // Of the launcher's children, the one whose environment says RANK=1.
    private static int SecondRank(int launcher) => Directory.GetDirectories("/proc").Select(Path.GetFileName).Where(name => int.TryParse(name, CultureInfo.InvariantCulture, out _)).Select(name => int.Parse(name!, CultureInfo.InvariantCulture))
        .First(process => IsSecond(process, launcher));

    private static bool IsSecond(int process, int launcher)
    {
        try
        {
            string status = File.ReadAllText($"/proc/{process}/status");
            return status.Contains($"PPid:\t{launcher}\n", StringComparison.Ordinal) && File.ReadAllText($"/proc/{process}/environ").Split('\0').Contains("RANK=1");
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static void Kill(int process)
    {
        using var rank = System.Diagnostics.Process.GetProcessById(process);
        rank.Kill();
    }

    [GeneratedRegex("process [0-9]+")]
    private static partial Regex ProcessNumber();
}
