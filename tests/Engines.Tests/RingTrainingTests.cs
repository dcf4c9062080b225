using DistTrain.Runtime;

namespace DistTrain.Engines.Tests;

/// <summary>Our ring over MPI's messages trains the model that one device trains.</summary>
public sealed class RingTrainingTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly (string, string?)[] _secret = Ranks.NewSecret();

    [Theory]
    [InlineData(2, "sgd", 1e-5, "multi-worker")]
    [InlineData(3, "adam", 1e-3, "multi-worker")]
    [InlineData(4, "sgd", 1e-5, "multi-worker")]
    [InlineData(3, "sgd", 1e-5, "sharded")]
    public void Ranks_of_open_mpi_train_over_the_ring_to_the_one_device_weights_with_the_same_bits_on_all(int count, string optimizer, double tolerance, string strategy)
    {
        MpirunScriptTests.SkipWithoutOpenMpi();
        float[] expected = Weights("one", Command.Run([], Repository.Tool[0], [.. Repository.Tool[1..], .. Train(optimizer, "one")]));

        string[] root = Environment.UserName == "root" ? ["--allow-run-as-root"] : [];
        CommandResult result = Command.Run([("TERM", "dumb"), .. _secret], "mpirun.openmpi",
            [.. root, "--oversubscribe", "--bind-to", "none", "-n", $"{count}", .. Repository.Tool, .. Train(optimizer, "ring"), "--strategy", strategy, "--algorithm", "ring", "--check-replicas"]);

        float[] found = Weights("ring", result);
        Assert.Equal(expected.Length, found.Length);
        double error = Math.Sqrt(expected.Zip(found, (e, f) => ((double)e - f) * ((double)e - f)).Sum() / expected.Sum(e => (double)e * e));
        Assert.InRange(error, 0, tolerance);
        Assert.Contains($"Open MPI: OMPI_COMM_WORLD_RANK=0 of OMPI_COMM_WORLD_SIZE={count}", result.Errors, StringComparison.Ordinal);
        Ranks.AssertNoneLeft(_secret);
    }

    public void Dispose() => _folder.Dispose();

    private string[] Train(string optimizer, string name) =>
        ["train", "--data", "digits", "--model", "mlp", "--steps", "20", "--seed", "5", "--optimizer", optimizer, "--output", _folder[name]];

    private float[] Weights(string name, CommandResult result)
    {
        Assert.True(result.ExitCode == 0, result.ToString());
        using SafetensorsReader reader = SafetensorsReader.Open(Path.Combine(_folder[name], "weights.safetensors"));
        return [.. reader.Entries.OrderBy(entry => entry.Name, StringComparer.Ordinal).SelectMany(entry =>
        {
            float[] values = new float[entry.ByteCount / sizeof(float)];
            reader.Read<float>(entry.Name, values);
            return values;
        })];
    }
}
