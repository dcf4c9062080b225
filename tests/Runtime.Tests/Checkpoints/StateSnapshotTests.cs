using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

public sealed class StateSnapshotTests
{
    [Fact]
    public void A_snapshot_that_fails_in_the_middle_leaves_nothing_behind_and_the_next_one_is_whole()
    {
        using CpuDevice device = TrainedRun.Device();
        using Tensor first = Filled(device, 2, 1), last = Filled(device, 3, 2);
        Tensor gone = Filled(device, 5, 3);
        gone.Dispose();
        using StateSnapshot snapshot = new();
        BufferPool pool = snapshot.Stream.Device.Pool;

        for (int round = 0; round < 3; round++)
            Assert.Throws<ObjectDisposedException>(() => snapshot.Take(device.DefaultStream, new OrderedDictionary<string, Tensor> { ["first"] = first, ["gone"] = gone, ["last"] = last }));
        Assert.InRange(pool.RentedCount, 0, 2);
        using Tensor back = Filled(device, 7, 4);
        snapshot.Take(device.DefaultStream, new OrderedDictionary<string, Tensor> { ["first"] = first, ["gone"] = back, ["last"] = last });
        Assert.Equal(3, pool.RentedCount);
        Assert.Equal([1f, 1, 4, 4, 4, 4, 4, 4, 4, 2, 2, 2], new[] { "first", "gone", "last" }.SelectMany(name => snapshot.Tensors[name].ToArray<float>(snapshot.Stream)));
        snapshot.Take(device.DefaultStream, new Dictionary<string, Tensor> { ["last"] = last });
        Assert.Equal(1, pool.RentedCount);
    }

    [Fact]
    public void A_writer_whose_snapshot_fails_goes_on_with_the_next()
    {
        using CpuDevice device = TrainedRun.Device();
        using Tensor tensor = Filled(device, 4, 1);
        Tensor gone = Filled(device, 4, 2);
        gone.Dispose();
        ObjectStorage objects = new();
        using CheckpointWriter writer = new(new CheckpointFolder(objects), new CheckpointOptions { Storage = objects });
        Dictionary<string, Tensor> good = new() { ["w"] = tensor }, bad = new() { ["w"] = tensor, ["gone"] = gone };

        Assert.Throws<ObjectDisposedException>(() => writer.Save(device.DefaultStream, new SavedState(good, bad), new TrainingPosition(1, 1, 0, null, 0, null), 1));
        Assert.Throws<ObjectDisposedException>(() => writer.SaveNow(device.DefaultStream, new SavedState(bad, good), new TrainingPosition(2, 2, 0, null, 0, null), 1));
        Assert.True(writer.IsIdle);
        Assert.Empty(objects.Keys);
        writer.SaveNow(device.DefaultStream, new SavedState(good, good), new TrainingPosition(3, 3, 0, null, 0, null), 1);
        Assert.Equal(["w"], new CheckpointFolder(objects).FindNewest()!.Files.SelectMany(file => file.Tensors).Select(entry => entry.Name).Distinct());
    }

    private static Tensor Filled(CpuDevice device, int count, float value) => Tensor.From(device.DefaultStream, Enumerable.Repeat(value, count).ToArray(), new Shape(count));
}
