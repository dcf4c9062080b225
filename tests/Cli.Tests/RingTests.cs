using DistTrain.Runtime;

namespace DistTrain.Cli.Tests;

/// <summary><c>--algorithm ring --check-replicas</c> with every synchronous strategy: our ring trains, in one process and in two over shared memory.</summary>
public sealed class RingTests
{
    [Theory]
    [InlineData("sgd", 1e-5)]
    [InlineData("adam", 1e-3)]
    public void Every_synchronous_strategy_trains_over_the_ring_to_the_one_device_weights(string optimizer, double tolerance)
    {
        using TemporaryFolder folder = new();
        string[] common = ["train", "--data", "digits", "--model", "mlp", "--steps", "20", "--seed", "5", "--optimizer", optimizer];
        Assert.Equal(0, Tool.Run([.. common, "--output", folder["one"]]).ExitCode);
        float[] expected = Weights(folder["one"]);
        string[] ring = [.. common, "--algorithm", "ring", "--check-replicas"];

        Expect("mirrored", Tool.Run([.. ring, "--strategy", "mirrored", "--device", "cpu:0/2,cpu:1/2", "--output", folder["mirrored"]]));
        Expect("central-storage", Tool.Run([.. ring, "--strategy", "central-storage", "--device", "cpu:0/2,cpu:1/2", "--output", folder["central-storage"]]));
        Expect("sharded", Tool.Run([.. ring, "--strategy", "sharded", "--sharding-stage", "3", "--device", "cpu:0/2,cpu:1/2", "--output", folder["sharded"]]));
        Expect("multi-worker", Tool.Run(["launch", "--nproc-per-node", "2", "--", "dotnet", Tool.Program, .. ring, "--strategy", "multi-worker", "--output", folder["multi-worker"]]));

        void Expect(string strategy, ToolResult result)
        {
            Assert.True(result.ExitCode == 0, $"{strategy}: {result.Errors}");
            Assert.Contains("\"checkReplicas\": true", File.ReadAllText(Path.Combine(folder[strategy], "config.json")), StringComparison.Ordinal);
            float[] found = Weights(folder[strategy]);
            Assert.Equal(expected.Length, found.Length);
            double error = Math.Sqrt(expected.Zip(found, (e, f) => ((double)e - f) * ((double)e - f)).Sum() / expected.Sum(e => (double)e * e));
            Assert.True(error <= tolerance, $"{strategy}: relative error {error}");
        }
    }

    private static float[] Weights(string folder)
    {
        using SafetensorsReader reader = SafetensorsReader.Open(Path.Combine(folder, "weights.safetensors"));
        return [.. reader.Entries.OrderBy(entry => entry.Name, StringComparer.Ordinal).SelectMany(entry =>
        {
            float[] values = new float[entry.ByteCount / sizeof(float)];
            reader.Read<float>(entry.Name, values);
            return values;
        })];
    }
}
