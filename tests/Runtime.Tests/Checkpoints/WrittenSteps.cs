using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>Checkpoints whose every number tells the step that it belongs to, written as a run writes them, and checked.</summary>
internal sealed class WrittenSteps : IDisposable
{
    internal const string Root = "/job/checkpoints";
    private readonly CpuDevice _device = TrainedRun.Device();
    private readonly Dictionary<long, (StateSnapshot Model, StateSnapshot Optimizer)> _snapshots = [];

    internal static CheckpointFolder Folder(SimulatedDisk disk) => new(new LocalCheckpointStorage(Root, disk));

    /// <summary>Writes a checkpoint and removes all but the two newest.</summary>
    internal void Write(CheckpointFolder folder, long step, Action? written = null)
    {
        (StateSnapshot model, StateSnapshot optimizer) = Snapshot(step);
        folder.Write(new TrainingPosition(step, step, 7, [1, 2, (byte)step], 20 * step, 1.0 / step), 1, model, optimizer);
        written?.Invoke();
        folder.Prune(step, 2);
    }

    /// <summary>Finds the newest checkpoint and compares all that is in it with what was written.</summary>
    /// <returns>Its step; 0 if there is none.</returns>
    internal long FindNewest(CheckpointFolder folder)
    {
        if (folder.FindNewest() is not { } manifest) return 0;
        long step = manifest.Position.Step;
        Assert.Equal((step, 20 * step, (byte)step), (manifest.Position.OptimizerStep, manifest.Position.SampleCount, manifest.Position.Data![2]));
        Compare(folder.Load(_device, manifest, CheckpointFolder.ModelFile), step, "weight", "bias");
        Compare(folder.Load(_device, manifest, CheckpointFolder.OptimizerFile), step, "weight.momentum");
        return step;
    }

    public void Dispose()
    {
        foreach ((StateSnapshot model, StateSnapshot optimizer) in _snapshots.Values)
        {
            model.Dispose();
            optimizer.Dispose();
        }
        _device.Dispose();
    }

    private static float[] Values(string name, long step) => [.. Enumerable.Range(0, 20).Select(i => (step * 100) + i + (name.Length / 64f))];

    private (StateSnapshot Model, StateSnapshot Optimizer) Snapshot(long step)
    {
        if (_snapshots.TryGetValue(step, out (StateSnapshot, StateSnapshot) found)) return found;
        return _snapshots[step] = (Take(step, "weight", "bias"), Take(step, "weight.momentum"));
    }

    private StateSnapshot Take(long step, params string[] names)
    {
        StateSnapshot snapshot = new();
        Dictionary<string, Tensor> tensors = names.ToDictionary(name => name, name => Tensor.From(_device.DefaultStream, Values(name, step), new Shape(4, 5)));
        snapshot.Take(_device.DefaultStream, tensors);
        foreach (Tensor tensor in tensors.Values) tensor.Dispose();
        return snapshot;
    }

    private void Compare(Dictionary<string, Tensor> found, long step, params string[] names)
    {
        Assert.Equal(names.Order(StringComparer.Ordinal), found.Keys.Order(StringComparer.Ordinal));
        foreach ((string name, Tensor tensor) in found)
        {
            Assert.Equal(Values(name, step), tensor.ToArray<float>(_device.DefaultStream));
            tensor.Dispose();
        }
    }
}
