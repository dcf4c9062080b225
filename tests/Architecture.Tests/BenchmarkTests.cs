using System.Text.Json;

namespace DistTrain.Architecture.Tests;

/// <summary>The benchmark program runs, and what it gates holds. No test here looks at a time.</summary>
public sealed class BenchmarkTests
{
    private static readonly string[] s_classes =
        ["MatMul", "Convolution", "Softmax", "DistillationLoss", "Attention", "TrainStep", "Limit", "Crc32C", "TFRecord", "Element", "Overlap", "Remote", "AllReduce"];

    private static string Program => Repository.PathOf("artifacts", "bin", "DistTrain.Bench", new DirectoryInfo(AppContext.BaseDirectory).Name, "DistTrain.Bench.dll");

    [Fact]
    public void Steady_state_work_allocates_no_more_than_is_recorded()
    {
        (int exitCode, string output) = Repository.Run(Repository.Root, TimeSpan.FromMinutes(5), "dotnet", Program, "allocations", "--check", Repository.PathOf("bench", "allocations.json"));

        Assert.True(exitCode == 0, output);
    }

    [Fact]
    public void The_recorded_step_of_the_MLP_allocates_less_than_ten_kilobytes_and_no_native_memory()
    {
        string text = File.ReadAllText(Repository.PathOf("bench", "allocations.json"));

        JsonElement[] rows = [.. JsonDocument.Parse(text).RootElement.EnumerateArray()];
        JsonElement mlp = Assert.Single(rows, row => row.GetRawText().Contains("mlp", StringComparison.Ordinal));
        Assert.InRange(mlp.GetProperty("managedBytes").GetInt64(), 0, 10_000);
        Assert.All(rows, row => Assert.Equal(0, row.GetProperty("nativeAllocations").GetInt64()));
    }

    [Fact]
    public void Every_benchmark_class_is_listed()
    {
        (int exitCode, string output) = Repository.Run(Repository.Root, TimeSpan.FromMinutes(1), "dotnet", Program, "--list", "flat");

        Assert.True(exitCode == 0, output);
        Assert.All(s_classes, name => Assert.Contains($"DistTrain.Bench.{name}Benchmarks.", output, StringComparison.Ordinal));
        Assert.Equal(s_classes.Length, output.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Where(line => line.StartsWith("DistTrain.Bench.", StringComparison.Ordinal))
            .Select(line => line.Split('.')[2]).Distinct().Count());
    }

    [Fact]
    public void Benchmark_classes_run_once_in_a_dry_job()
    {
        // All of them in a soak; otherwise four in turn, without the one that takes as long as all others together.
        string[] quick = [.. s_classes.Where(name => name != "Overlap")];
        int day = DateTime.UtcNow.DayOfYear;
        string[] drawn = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1" ? s_classes : [.. Enumerable.Range(0, 4).Select(i => quick[((4 * day) + i) % quick.Length])];
        string folder = Directory.CreateTempSubdirectory("disttrain-bench-").FullName;
        try
        {
            (int exitCode, string output) = Repository.Run(folder, TimeSpan.FromMinutes(10), "dotnet", [Program, "--filter", .. drawn.Select(name => $"*.{name}Benchmarks.*"), "--job", "Dry", "--inProcess"]);

            Assert.True(exitCode == 0, output[^Math.Min(output.Length, 5_000)..]);
            Assert.DoesNotContain("There are not any results runs", output, StringComparison.Ordinal);
            Assert.All(drawn, name => Assert.Contains($"{name}Benchmarks", output, StringComparison.Ordinal));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void Rows_have_the_agreed_columns_and_a_mistyped_bench_ends_with_exit_code_2()
    {
        string file = Path.GetTempFileName();
        try
        {
            (int exitCode, string output) = Repository.Run(Repository.Root, TimeSpan.FromMinutes(5), "dotnet", Program,
                "rows", "softmax", "--against", "none", "--threads", "1", "--rounds", "1", "--milliseconds", "5", "--cases", "4096x1000", "--json", file);

            Assert.True(exitCode == 0, output);
            JsonElement[] rows = [.. JsonDocument.Parse(File.ReadAllText(file)).RootElement.EnumerateArray()];
            Assert.Contains(rows, row => row.GetProperty("impl").GetString() == "disttrain");
            Assert.All(rows, row => Assert.Equal(
                ["bench", "case", "threads", "ranks", "transport", "algorithm", "impl", "value", "unit", "better"], row.EnumerateObject().Select(column => column.Name)));

            (int mistyped, string message) = Repository.Run(Repository.Root, TimeSpan.FromMinutes(1), "dotnet", Program, "rows", "sofmax");
            Assert.Equal(2, mistyped);
            Assert.Contains("softmax", message, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
