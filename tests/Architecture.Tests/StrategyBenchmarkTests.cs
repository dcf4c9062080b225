using System.Text.Json;
using System.Xml.Linq;

namespace DistTrain.Architecture.Tests;

/// <summary><c>bench strategy</c> trains under every strategy, and its simulation follows its formulas. No test here looks at a time.</summary>
public sealed class StrategyBenchmarkTests : IDisposable
{
    private const double AlexNetParameters = 60_965_224, AlexNetMultiplyAdds = 724_406_816, Vgg16Parameters = 138_357_544, Vgg16MultiplyAdds = 15_470_264_320;
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-strategy-").FullName;

    private static string Program => Repository.PathOf("artifacts", "bin", "DistTrain.Bench", new DirectoryInfo(AppContext.BaseDirectory).Name, "DistTrain.Bench.dll");

    private static bool HasShim => File.Exists(Path.Combine(Path.GetDirectoryName(Program)!, "runtimes", "linux-x64", "native", "libdisttrain_shim.so"));

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Every_strategy_is_measured_beside_independent_runs_with_its_efficiency_overlap_and_stall()
    {
        Assert.SkipUnless(HasShim, "the collectives' native library is not built here");

        JsonElement[] rows = Measured("--only", "speed,shards", "--model", "mlp", "--batch", "8", "--ranks", "1,2", "--rounds", "1", "--ms", "20", "--against", "none");

        Assert.All(rows, row => Assert.Equal(["bench", "case", "threads", "ranks", "transport", "algorithm", "impl", "value", "unit", "better"], row.EnumerateObject().Select(column => column.Name)));
        Assert.Equal(["one-device", "independent", "independent, in step", "mirrored", "central-storage", "sharded", "parameter-server", "multi-worker"], Of(rows, "strategy").Select(row => Text(row, "algorithm")).Where(name => !name.Contains("cores", StringComparison.Ordinal)));
        Assert.All(Of(rows, "strategy"), row => Assert.True(row.GetProperty("value").GetDouble() > 0));
        Assert.Equal(["independent, in step", "mirrored", "central-storage", "sharded", "parameter-server", "multi-worker"], Of(rows, "strategy-efficiency").Select(row => Text(row, "algorithm")));
        foreach (string share in (string[])["strategy-overlap", "strategy-stall"])
            Assert.Equal([("mirrored", "inprocess"), ("central-storage", "inprocess"), ("sharded", "inprocess"), ("multi-worker", "shm")], Of(rows, share).Select(row => (Text(row, "algorithm"), Text(row, "transport"))));
        Assert.All(Of(rows, "strategy-overlap"), row => Assert.InRange(row.GetProperty("value").GetDouble(), 0, 1));
        // Reductions took time, and some of it was waited for: the meter's numbers arrive, from other processes too.
        Assert.All(Of(rows, "strategy-stall"), row => Assert.InRange(row.GetProperty("value").GetDouble(), 1e-9, 1));
        Assert.Equal(["convnet, 8 shards of 32", "mlp, 8 shards of 32"], Of(rows, "virtual-shards").Select(row => Text(row, "case")));
    }

    [Fact]
    public void A_slow_worker_is_measured_where_all_wait_for_it_and_where_nobody_does()
    {
        string json = Path.Combine(_folder, "rows.json");
        (int exitCode, string output) = Repository.Run(Repository.Root, TimeSpan.FromMinutes(3), "dotnet", Program, "rows", "straggler", "--workers", "2", "--slowdown", "3", "--batch", "8", "--seconds", "1", "--rounds", "1", "--json", json);
        Assert.True(exitCode == 0, output);
        JsonElement[] rows = [.. JsonDocument.Parse(File.ReadAllText(json)).RootElement.EnumerateArray()];
        Assert.Equal(["mirrored, 2 workers alike", "parameter-server, 2 workers alike", "mirrored, one of 2 workers 3 times as slow", "parameter-server, one of 2 workers 3 times as slow"], rows.Select(row => Text(row, "case")));
        Assert.All(rows, row => Assert.True(row.GetProperty("value").GetDouble() > 0));
        Assert.Contains("with the slow worker, not waiting is ", output, StringComparison.Ordinal);

        (exitCode, output) = Repository.Run(Repository.Root, TimeSpan.FromMinutes(3), "dotnet", Program, "rows", "straggler", "--worker", "2");
        Assert.Equal(2, exitCode);
        Assert.Contains("unknown option '--worker'", output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_job_whose_process_is_killed_trains_again()
    {
        Assert.SkipUnless(HasShim, "the collectives' native library is not built here");
        Assert.SkipUnless(OperatingSystem.IsLinux() && File.Exists(Repository.PathOf("artifacts", "bin", "DistTrain.Cli", new DirectoryInfo(AppContext.BaseDirectory).Name, "disttrain.dll")), "the command-line tool is not built here");
        JsonElement row = Assert.Single(Measured("--only", "recovery", "--rounds", "1"));
        Assert.Equal(("recovery", "s"), (Text(row, "bench"), Text(row, "unit")));
        Assert.InRange(row.GetProperty("value").GetDouble(), 0.01, 120);
    }

    [Fact]
    public void What_a_checkpoint_stalls_is_a_part_of_a_step()
    {
        JsonElement row = Assert.Single(Measured("--only", "checkpoint", "--rounds", "1"));
        Assert.Equal(("checkpoint-stall", "of the step"), (Text(row, "bench"), Text(row, "unit")));
        Assert.InRange(row.GetProperty("value").GetDouble(), 1e-6, 100);
    }

    [Theory]
    [InlineData("AlexNet", AlexNetParameters, AlexNetMultiplyAdds)]
    [InlineData("VGG-16", Vgg16Parameters, Vgg16MultiplyAdds)]
    public void Without_overlap_a_step_waits_for_the_rings_time_by_the_papers_numbers(string network, double parameters, double multiplyAdds)
    {
        const double Beta = 1e-9, Flops = 1e12, Batch = 32;
        JsonElement[] rows = Measured("--only", "simulation", "--alpha", "0", "--beta", "1e-9", "--flops", "1e12", "--sim-batch", "32");
        foreach (int workers in (int[])[1, 2, 4, 8, 16, 32])
        {
            // Forward and twice as much backward; a multiplication and an addition are two operations.
            double compute = 6 * multiplyAdds * Batch / Flops, ring = 2 * (workers - 1.0) / workers * 4 * parameters * Beta;
            double found = Simulated(rows, $"{network} batch 32, no overlap", workers);
            Assert.InRange(found, (ring / (compute + ring) * (1 - 1e-4)) - 1e-12, (ring / (compute + ring) * (1 + 1e-4)) + 1e-12);
            Assert.InRange(Simulated(rows, $"{network} batch 32", workers), 0, found + 1e-9);
        }
    }

    [Fact]
    public void With_overlap_and_slow_computers_only_the_last_bucket_is_waited_for()
    {
        // The last bucket of VGG-16 has its first nine layers: 5,275,456 parameters.
        const double Beta = 1e-9, Flops = 1e9, LastBucketBytes = 4 * 5_275_456;
        JsonElement[] rows = Measured("--only", "simulation", "--alpha", "0", "--beta", "1e-9", "--flops", "1e9", "--sim-batch", "1");
        double compute = 6 * Vgg16MultiplyAdds / Flops, ring = 2 * 3 / 4.0 * LastBucketBytes * Beta, expected = ring / (compute + ring);
        Assert.InRange(Simulated(rows, "VGG-16 batch 1", 4), expected * (1 - 1e-4), expected * (1 + 1e-4));
    }

    [Fact]
    public void The_picture_has_a_curve_for_each_network_with_and_without_overlap()
    {
        string picture = Path.Combine(_folder, "stall.svg");
        Measured("--only", "simulation", "--plot", picture);
        XElement svg = XElement.Load(picture);
        Assert.Equal(4, svg.Descendants().Count(element => element.Name.LocalName == "polyline"));
        Assert.Contains(svg.Descendants(), element => element.Value == "VGG-16, simulated, without overlap");
    }

    [Theory]
    [InlineData("--ranks 0", "--ranks 0: expected 1 to 64")]
    [InlineData("--only sped", "--only sped: expected speed, shards, checkpoint, recovery, simulation. Did you mean 'speed'?")]
    [InlineData("--model conv", "--model conv: models are ")]
    [InlineData("--rank 2", "unknown option '--rank'. Did you mean '--ranks'?")]
    [InlineData("--foo", "unknown option '--foo'")]
    [InlineData("--only simulation --plot /nowhere/stall.svg", "--plot '/nowhere/stall.svg': expected the name of a file in a folder that exists")]
    [InlineData("--against torch", "--against torch: expected torchsharp, none.")]
    [InlineData("--json", "--json needs a value")]
    [InlineData("--worker 1", "--worker is for processes that this program starts")]
    public void A_bad_option_is_named_and_ends_with_exit_code_2(string options, string message)
    {
        (int exitCode, string output) = Run(options.Split(' '));
        Assert.Equal(2, exitCode);
        Assert.Contains(message, output, StringComparison.Ordinal);
    }

    private static (int ExitCode, string Output) Run(params string[] options) => Repository.Run(Repository.Root, TimeSpan.FromMinutes(3), "dotnet", [Program, "rows", "strategy", .. options]);

    private static IEnumerable<JsonElement> Of(JsonElement[] rows, string bench) => rows.Where(row => Text(row, "bench") == bench);

    private static double Simulated(JsonElement[] rows, string name, int workers) =>
        Assert.Single(rows, row => Text(row, "case") == name && row.GetProperty("ranks").GetInt32() == workers).GetProperty("value").GetDouble();

    private static string Text(JsonElement row, string column) => row.GetProperty(column).GetString()!;

    private JsonElement[] Measured(params string[] options)
    {
        string json = Path.Combine(_folder, "rows.json");
        (int exitCode, string output) = Run([.. options, "--json", json]);
        Assert.True(exitCode == 0, output);
        return [.. JsonDocument.Parse(File.ReadAllText(json)).RootElement.EnumerateArray()];
    }
}
