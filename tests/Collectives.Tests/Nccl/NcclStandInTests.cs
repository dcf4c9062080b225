using System.Diagnostics;
using System.Text.RegularExpressions;

namespace DistTrain.Collectives.Tests;

/// <summary>Runs the tests of NCCL's communicator in a process that has stand-ins of NCCL and the CUDA driver.</summary>
public sealed partial class NcclStandInTests
{
    [Fact]
    public async Task Every_test_of_the_communicator_passes_over_the_stand_ins()
    {
        if (!ShimLibrary.TryLoad(out string problem)) Assert.Skip(problem);
        string folder = Directory.CreateTempSubdirectory("disttrain-nccl-").FullName;
        try
        {
            if (StandIns.Build(folder) is { } reason) Assert.Skip(reason);
            ProcessStartInfo start = new("dotnet", [typeof(NcclStandInTests).Assembly.Location, "-noColor", "-noLogo", "-class", "*NcclCommunicatorTests"]) { RedirectStandardOutput = true };
            start.Environment[StandIns.Variable] = "1";
            start.Environment["DISTTRAIN_NCCL_LIBRARY"] = Path.Combine(folder, "libnccl.so.2");
            start.Environment["LD_LIBRARY_PATH"] = folder;
            using Process tests = Process.Start(start)!;
            Task<string> reading = tests.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
            bool hasEnded = tests.WaitForExit(TimeSpan.FromMinutes(3));
            if (!hasEnded) tests.Kill(entireProcessTree: true);
            string output = await reading;
            Assert.True(hasEnded, $"the tests hang; they wrote: {output}");
            Match summary = Summary().Match(output);
            Assert.True(summary.Success && tests.ExitCode == 0, output);
            Assert.InRange(int.Parse(summary.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture), 20, int.MaxValue);
            Assert.Equal(("0", "0", "0"), (summary.Groups[2].Value, summary.Groups[3].Value, summary.Groups[4].Value));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [GeneratedRegex(@"Total: (\d+), Errors: (\d+), Failed: (\d+), Skipped: (\d+)")]
    private static partial Regex Summary();
}
