namespace DistTrain.Runtime.Tests;

/// <summary>Disks that are full, fail or are away at any operation: an error that says so, and the checkpoints before it as they were.</summary>
public sealed class StorageFaultTests : IDisposable
{
    private readonly WrittenSteps _steps = new();

    public void Dispose() => _steps.Dispose();

    [Fact]
    public void A_disk_full_at_any_operation_costs_the_new_checkpoint_only_and_leaves_no_litter() => AtEveryOperation((disk, folder, operation) =>
    {
        disk.FullFrom = operation;
        Assert.Equal("No space left on device", Assert.Throws<IOException>(() => _steps.Write(folder, 3)).Message);
        Assert.Equal(2, _steps.FindNewest(folder));
        Assert.Equal([2, 1], folder.Steps);
        Assert.Equal(6, disk.Files.Length);
        disk.FullFrom = int.MaxValue;
        _steps.Write(folder, 3);
        Assert.Equal(3, _steps.FindNewest(folder));
    }, needRoomOnly: true);

    [Fact]
    public void An_operation_that_fails_once_costs_the_new_checkpoint_only() => AtEveryOperation((disk, folder, operation) =>
    {
        disk.FailsAt = operation;
        Assert.Contains("Input/output error", Assert.Throws<IOException>(() => _steps.Write(folder, 3)).Message, StringComparison.Ordinal);
        Assert.Equal(2, _steps.FindNewest(folder));
        Assert.Equal([2, 1], folder.Steps);
        _steps.Write(folder, 4);
        Assert.Equal(4, _steps.FindNewest(folder));
        Assert.Equal([4, 2], folder.Steps);
    }, needRoomOnly: false);

    // Two checkpoints are written; then something happens at each of the operations that write the third.
    private void AtEveryOperation(Action<SimulatedDisk, CheckpointFolder, int> happens, bool needRoomOnly)
    {
        (SimulatedDisk whole, CheckpointFolder folder) = WithTwo();
        int first = whole.OperationCount, end = 0;
        _steps.Write(folder, 3, () => end = whole.OperationCount);
        // The last ones flush names: a full disk does that.
        if (needRoomOnly) end -= 2;
        Assert.InRange(end - first, 15, 60);
        for (int operation = first; operation < end; operation++)
        {
            (SimulatedDisk disk, folder) = WithTwo();
            happens(disk, folder, operation);
        }
    }

    private (SimulatedDisk Disk, CheckpointFolder Folder) WithTwo()
    {
        SimulatedDisk disk = new();
        CheckpointFolder folder = WrittenSteps.Folder(disk);
        _steps.Write(folder, 1);
        _steps.Write(folder, 2);
        return (disk, folder);
    }
}
