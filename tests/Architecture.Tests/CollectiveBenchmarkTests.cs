using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Xml.Linq;

namespace DistTrain.Architecture.Tests;

/// <summary><c>bench allreduce</c> runs with every verb and kind of rank, checks what it measures, fits and predicts. No test here looks at a time.</summary>
public sealed class CollectiveBenchmarkTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-allreduce-").FullName;

    private static string Program => Repository.PathOf("artifacts", "bin", "DistTrain.Bench", new DirectoryInfo(AppContext.BaseDirectory).Name, "DistTrain.Bench.dll");

    private static bool HasShim => File.Exists(Path.Combine(Path.GetDirectoryName(Program)!, "runtimes", "linux-x64", "native", "libdisttrain_shim.so"));

    [Fact]
    public void Processes_over_shared_memory_have_rows_for_registered_and_ordinary_memory_and_the_bound_under_both()
    {
        Assert.SkipUnless(HasShim, "the collectives' native library is not built here");

        JsonElement[] rows = Measured("--transport", "shm", "--ranks", "2");

        Assert.Equal(["registered 1024", "registered 4096", "ordinary 1024", "ordinary 4096"], rows.Where(row => Text(row, "impl") == "disttrain").Select(row => Text(row, "case")).OrderBy(name => name[0] == 'o'));
        // The bound needs a core for each of its two ranks.
        if (Environment.ProcessorCount >= 2) Assert.Equal(4, rows.Count(row => Text(row, "impl") == "bound"));
        Assert.All(rows, row =>
        {
            Assert.Equal(["bench", "case", "threads", "ranks", "transport", "algorithm", "impl", "value", "unit", "better"], row.EnumerateObject().Select(column => column.Name));
            Assert.Equal(("allreduce", 2, "shm", "GB/s", "higher"), (Text(row, "bench"), row.GetProperty("ranks").GetInt32(), Text(row, "transport"), Text(row, "unit"), Text(row, "better")));
            Assert.True(row.GetProperty("value").GetDouble() > 0);
        });
    }

    [Fact]
    public void Every_algorithm_runs_between_threads_and_its_name_is_in_its_rows()
    {
        JsonElement[] rows = Measured("--transport", "inprocess", "--ranks", "3", "--algorithm", "own,ring,direct,recursive-doubling,tree,double-tree");

        Assert.Equal(["own", "ring", "direct", "recursive-doubling", "tree", "double-tree"], rows.Where(row => Text(row, "case") == "ordinary 1024").Select(row => Text(row, "algorithm")));
    }

    [Fact]
    public void Ranks_of_mpirun_join_its_world_and_rank_0_writes_the_rows()
    {
        Assert.SkipUnless(HasShim, "the collectives' native library is not built here");
        Assert.SkipUnless(HasMpirun(), "Open MPI's mpirun is not installed");
        string json = Path.Combine(_folder, "rows.json");

        (int exitCode, string output) = Repository.Run(Repository.Root, TimeSpan.FromMinutes(2), "env", "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
            "mpirun.openmpi", "--oversubscribe", "-n", "3", "dotnet", Program, "rows", "allreduce", "--min", "1K", "--max", "1K", "--rounds", "1", "--json", json);

        Assert.True(exitCode == 0, output);
        Assert.Equal([("registered 1024", 3, "disttrain"), ("ordinary 1024", 3, "disttrain")], Rows(json).Select(row => (Text(row, "case"), row.GetProperty("ranks").GetInt32(), Text(row, "impl"))));
    }

    [Fact]
    public void Over_MPI_the_bench_starts_mpirun_itself_and_measures_the_ring_beside_MPIs_own()
    {
        Assert.SkipUnless(HasShim, "the collectives' native library is not built here");
        Assert.SkipUnless(HasMpirun(), "Open MPI's mpirun is not installed");

        JsonElement[] rows = Measured("--transport", "mpi", "--algorithm", "own,ring", "--memory", "ordinary");

        Assert.Equal(["own", "ring", "own", "ring"], rows.Select(row => Text(row, "algorithm")));
        Assert.All(rows, row => Assert.Equal("mpi", Text(row, "transport")));
    }

    [Theory]
    [InlineData("reduce-scatter")]
    [InlineData("all-gather")]
    [InlineData("broadcast")]
    [InlineData("reduce")]
    [InlineData("all-to-all")]
    [InlineData("send-recv")]
    public void Every_verb_is_measured_with_sizes_that_the_ranks_can_share_and_no_element_is_wrong(string verb)
    {
        JsonElement[] rows = Measured("--transport", "inprocess", "--ranks", "3", "--verb", verb);

        Assert.All(rows, row => Assert.Equal(verb, Text(row, "bench")));
        string size = verb is "reduce-scatter" or "all-gather" or "all-to-all" ? "1020" : "1024";
        Assert.Contains(rows, row => Text(row, "case") == $"registered {size}");
    }

    [Theory]
    [InlineData("reduce-scatter")]
    [InlineData("all-gather")]
    public void The_halves_of_the_ring_are_measured_beside_the_transports_own_way(string verb)
    {
        JsonElement[] rows = Measured("--transport", "inprocess", "--ranks", "3", "--verb", verb, "--algorithm", "own,ring");

        Assert.Equal(["own", "ring"], rows.Where(row => Text(row, "case") == "ordinary 1020").Select(row => Text(row, "algorithm")));
    }

    [Fact]
    public void Fitted_costs_are_saved_and_choose_the_algorithm_of_a_later_run()
    {
        string costs = Path.Combine(_folder, "costs.json");
        (int exitCode, string output) = Run("--transport", "inprocess", "--ranks", "2", "--fit", costs, "--min", "1K", "--max", "16K", "--rounds", "1");
        Assert.True(exitCode == 0, output);
        Assert.Contains("fastest by these costs, 2 ranks:", output, StringComparison.Ordinal);

        JsonElement[] rows = Measured("--transport", "inprocess", "--algorithm", "auto", "--costs", costs);

        Assert.All(rows.Where(row => Text(row, "impl") == "disttrain"), row => Assert.Equal("auto", Text(row, "algorithm")));
    }

    [Fact]
    public void The_simulation_is_the_formula_and_its_picture_has_a_curve_for_each_algorithm_in_both_panels()
    {
        string json = Path.Combine(_folder, "rows.json"), plot = Path.Combine(_folder, "plot.svg");
        (int exitCode, string output) = Run("--simulate", "8..65536", "--alpha", "5us", "--beta", "10GB/s", "--bytes", "1M", "--json", json, "--plot", plot);
        Assert.True(exitCode == 0, output);

        JsonElement[] rows = Rows(json);
        Assert.Equal(14 * 5, rows.Length);
        // 2 (n - 1) messages of bytes / n: 131,070 times 5 us and 16 bytes at 10 GB/s.
        double seconds = 2 * 65535 * (5e-6 + ((1 << 20) / 65536 / 10e9)), expected = (1 << 20) / seconds * 2 * 65535 / 65536 / 1e9;
        JsonElement ring = Assert.Single(rows, row => Text(row, "algorithm") == "ring" && row.GetProperty("ranks").GetInt32() == 65536);
        Assert.Equal(double.Parse(expected.ToString("G5", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture), ring.GetProperty("value").GetDouble());
        Assert.Contains("cross-check: 12 plans", output, StringComparison.Ordinal);
        Assert.Equal(10, XDocument.Load(plot).Descendants().Count(element => element.Name.LocalName == "polyline"));
    }

    [Theory]
    [InlineData("unknown transport 'smh'; there are shm, inprocess, mpi, nccl. Did you mean 'shm'?", "--transport", "smh")]
    [InlineData("unknown algorithm 'rign'", "--algorithm", "rign")]
    [InlineData("--min: expected bytes as 1024, 64K, 4M or 1G, found '0'", "--min", "0")]
    [InlineData("--max 1024 is less than --min 4096", "--min", "4K", "--max", "1K")]
    [InlineData("--ranks: expected a whole number from 1 to 128, found '1000'", "--ranks", "1000")]
    [InlineData("--simulate needs --alpha", "--simulate", "8..64")]
    [InlineData("--simulate: expected numbers of ranks from 2", "--simulate", "64..8", "--alpha", "1us", "--beta", "1e-9")]
    [InlineData("--beta: expected seconds a byte", "--simulate", "8..64", "--alpha", "1us", "--beta", "fast")]
    [InlineData("--algorithm auto chooses by fitted costs: run `bench allreduce --fit costs.json`", "--algorithm", "auto")]
    [InlineData("algorithms are those of all-reduce; --verb broadcast has only own", "--verb", "broadcast", "--algorithm", "ring")]
    [InlineData("--verb all-gather has only own and ring", "--verb", "all-gather", "--algorithm", "ring,tree")]
    [InlineData("--json needs a value", "--json")]
    [InlineData("--json '/nowhere/rows.json': expected the name of a file in a folder that exists", "--json", "/nowhere/rows.json")]
    [InlineData("--alpha belongs to a simulation; add --simulate", "--alpha", "5us")]
    public void A_mistake_in_the_options_ends_with_exit_code_2_and_says_what_is_right(string expected, params string[] arguments)
    {
        (int exitCode, string output) = Run(arguments);

        Assert.Equal(2, exitCode);
        Assert.Contains(expected, output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_bench_that_is_told_to_end_leaves_no_process()
    {
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Name;
        ProcessStartInfo start = new("dotnet", [Repository.PathOf("artifacts", "bin", "DistTrain.Cli", configuration, "disttrain.dll"), "bench", "allreduce", "--transport", "inprocess", "--against", "none", "--rounds", "1000"]) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment["DISTTRAIN_BENCH"] = Repository.PathOf("artifacts", "bin", "DistTrain.Bench", configuration, "DistTrain.Bench.dll");
        using Process bench = Process.Start(start)!;
        try
        {
            string children = "";
            Assert.True(SpinWait.SpinUntil(() => (children = ChildrenOf(bench.Id)).Trim().Length > 0, TimeSpan.FromSeconds(30)), "it starts nothing");

            using (Process kill = Process.Start("kill", ["-TERM", $"{bench.Id}"])) kill.WaitForExit();

            Assert.True(bench.WaitForExit(TimeSpan.FromSeconds(20)), "it goes on");
            Assert.Equal(143, bench.ExitCode);
            foreach (string child in children.Split(' ', StringSplitOptions.RemoveEmptyEntries)) Assert.True(SpinWait.SpinUntil(() => !Directory.Exists($"/proc/{child}"), TimeSpan.FromSeconds(5)), $"process {child} is left over");
        }
        finally
        {
            if (!bench.HasExited) bench.Kill(entireProcessTree: true);
        }
    }

    private static string ChildrenOf(int process)
    {
        try
        {
            return string.Join(' ', Directory.EnumerateDirectories($"/proc/{process}/task").Select(thread => File.ReadAllText(Path.Combine(thread, "children"))));
        }
        catch (IOException)
        {
            // A thread ended in the middle of it.
            return "";
        }
    }

    [Fact]
    public void A_file_of_costs_that_is_none_ends_with_exit_code_1_and_is_named()
    {
        string costs = Path.Combine(_folder, "costs.json");
        File.WriteAllText(costs, "{}");

        (int exitCode, string output) = Run("--transport", "inprocess", "--algorithm", "auto", "--costs", costs);

        Assert.Equal(1, exitCode);
        Assert.Contains($"{costs}: format is missing", output, StringComparison.Ordinal);
    }

    [Fact]
    public void The_list_of_benches_names_its_cases_and_peers()
    {
        (int exitCode, string output) = Repository.Run(Repository.Root, TimeSpan.FromMinutes(2), "dotnet", Program, "rows", "--list");

        Assert.Equal(0, exitCode);
        Assert.Contains("registered BYTES", output, StringComparison.Ordinal);
        Assert.Contains("peers: openmpi, gloo", output, StringComparison.Ordinal);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private JsonElement[] Measured(params string[] arguments)
    {
        string json = Path.Combine(_folder, "rows.json");
        (int exitCode, string output) = Run(["--min", "1K", "--max", "4K", "--rounds", "1", "--against", "none", "--json", json, .. arguments]);
        Assert.True(exitCode == 0, output);
        return Rows(json);
    }

    private static (int ExitCode, string Output) Run(params string[] arguments) => Repository.Run(Repository.Root, TimeSpan.FromMinutes(2), "dotnet", [Program, "rows", "allreduce", .. arguments]);

    private static bool HasMpirun() => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, "mpirun.openmpi")));

    private static JsonElement[] Rows(string path) => [.. JsonDocument.Parse(File.ReadAllText(path)).RootElement.EnumerateArray()];

    private static string Text(JsonElement row, string column) => row.GetProperty(column).GetString() ?? "";
}
