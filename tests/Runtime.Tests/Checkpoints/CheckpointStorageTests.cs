namespace DistTrain.Runtime.Tests;

/// <summary>Checkpoints in another place than a local folder.</summary>
public sealed class CheckpointStorageTests
{
    private readonly List<string> _said = [];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_run_goes_on_to_the_same_bits_from_any_storage(int replicas)
    {
        ObjectStorage storage = new();
        CheckpointOptions options = new() { Storage = storage, EveryEpoch = false, Say = _said.Add };
        float[] unbroken = TrainedRun.Train(null, replicas: replicas);
        Assert.Throws<PreemptedException>(() => TrainedRun.Train(options, stopAfter: 4, replicas));
        Assert.Equal(["step-000000000004/manifest.json", "step-000000000004/model.safetensors", "step-000000000004/optimizer.safetensors"], storage.Keys);
        Assert.Equal(unbroken, TrainedRun.Train(options, replicas: replicas));
        Assert.Equal(["going on from the checkpoint of step 4 in objects://"], _said);
    }

    [Fact]
    public void Any_storage_keeps_the_newest_only()
    {
        ObjectStorage storage = new();
        TrainedRun.Train(new CheckpointOptions { Storage = storage, EveryStepCount = 1, KeepCount = 2 });
        CheckpointFolder folder = new(storage);
        // How many there were to begin with depends on how fast they are written; the last one is always.
        Assert.InRange(folder.Steps.Count, 1, 2);
        Assert.Equal(9, folder.Steps[0]);
        Assert.Equal(3 * folder.Steps.Count, storage.Keys.Length);
    }

    [Fact]
    public void A_folder_and_a_storage_or_neither_is_refused()
    {
        Assert.StartsWith("checkpoints need either Folder or Storage, neither is given", Assert.Throws<ArgumentException>(() => TrainedRun.Train(new CheckpointOptions())).Message, StringComparison.Ordinal);
        CheckpointOptions both = new() { Folder = "here", Storage = new ObjectStorage() };
        Assert.StartsWith("checkpoints need either Folder or Storage, both are given", Assert.Throws<ArgumentException>(() => TrainedRun.Train(both)).Message, StringComparison.Ordinal);
    }
}
