using CsCheck;

namespace DistTrain.Runtime.Tests;

/// <summary>The law of checkpoints: whenever the process or the power goes, the newest checkpoint found is the previous or the new one, whole.</summary>
public sealed class CrashConsistencyTests : IDisposable
{
    private const int StepCount = 4;
    private readonly WrittenSteps _steps = new();

    public void Dispose() => _steps.Dispose();

    [Fact]
    public void Whenever_the_process_is_killed_the_previous_or_the_new_checkpoint_is_found_whole() => AtEveryCut((disk, completed) =>
    {
        SimulatedDisk left = disk.AfterPowerLoss(() => true);
        AssertPreviousOrNew(left, completed);
        AssertGoesOn(left);
    });

    [Fact]
    public void Whenever_the_power_goes_the_previous_or_the_new_checkpoint_is_found_whole_whatever_survived() => AtEveryCut((disk, completed) =>
    {
        AssertPreviousOrNew(disk.AfterPowerLoss(() => false), completed);
        AssertPreviousOrNew(disk.AfterPowerLoss(() => true), completed);
        Random random = new(disk.OperationCount);
        for (int i = 0; i < 16; i++)
        {
            SimulatedDisk left = disk.AfterPowerLoss(() => random.Next(2) == 0, random);
            AssertPreviousOrNew(left, completed);
            if (i == 0) AssertGoesOn(left);
        }
    });

    [Fact]
    public void The_law_holds_over_any_number_of_losses_of_power() => Gen.Select(Gen.Int, Gen.Int[0, 90].Array[1, 6]).Sample((seed, cuts) =>
    {
        Random random = new(seed);
        SimulatedDisk disk = new();
        long completed = 0;
        foreach (int cut in cuts)
        {
            disk = Cut(disk, cut);
            completed = WriteUntilCut(disk, completed, steps: 6);
            disk = disk.AfterPowerLoss(() => random.Next(3) > 0, random);
            completed = AssertPreviousOrNew(disk, completed);
        }
    }, iter: 200);

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void On_a_disk_that_does_not_flush_the_law_is_broken_and_these_tests_notice(bool files, bool directories)
    {
        int losses = 0;
        AtEveryCut((disk, completed) =>
        {
            long found = _steps.FindNewest(WrittenSteps.Folder(disk.AfterPowerLoss(() => false)));
            if (found < completed) losses++;
        }, (files, directories));
        Assert.True(losses > 0, "checkpoints survive without flushing");
    }

    [Fact]
    public void Mixed_files_of_two_tries_at_one_step_are_not_taken_for_a_checkpoint()
    {
        SimulatedDisk disk = new();
        CheckpointFolder folder = WrittenSteps.Folder(disk);
        _steps.Write(folder, 1);
        _steps.Write(folder, 2);
        _steps.Write(folder, 3);
        foreach (string file in new[] { "model.safetensors", "optimizer.safetensors", "manifest.json" })
        {
            SimulatedDisk mixed = disk.AfterPowerLoss(() => true);
            mixed.Delete($"{folder.PathOf(3)}/{file}");
            using (ICheckpointFile other = mixed.Open($"{folder.PathOf(2)}/{file}")!)
            using (Stream copy = mixed.Create($"{folder.PathOf(3)}/{file}"))
            {
                byte[] bytes = new byte[other.ByteCount];
                for (int done = 0; done < bytes.Length;) done += other.Read(bytes.AsSpan(done), done);
                copy.Write(bytes);
            }
            Assert.Equal(2, _steps.FindNewest(WrittenSteps.Folder(mixed)));
        }
    }

    // Writes checkpoints 1, 2, ... on a disk whose power goes at each of the operations in turn.
    private void AtEveryCut(Action<SimulatedDisk, long> check, (bool Files, bool Directories) ignoresFlush = default)
    {
        SimulatedDisk whole = new();
        Assert.Equal(StepCount, WriteUntilCut(whole, 0, StepCount));
        Assert.InRange(whole.OperationCount, 80, 200);
        for (int cut = 0; cut <= whole.OperationCount; cut++)
        {
            SimulatedDisk disk = new() { PowerEndsAt = cut, IgnoresFlush = ignoresFlush };
            check(disk, WriteUntilCut(disk, 0, StepCount));
        }
    }

    // The step of the last checkpoint that was completely written.
    private long WriteUntilCut(SimulatedDisk disk, long from, int steps)
    {
        CheckpointFolder folder = WrittenSteps.Folder(disk);
        long completed = from;
        try
        {
            while (completed < from + steps) _steps.Write(folder, completed + 1, () => completed++);
        }
        catch (PowerLossException)
        {
            // As far as it came.
        }
        return completed;
    }

    private long AssertPreviousOrNew(SimulatedDisk left, long completed)
    {
        long found = _steps.FindNewest(WrittenSteps.Folder(left));
        Assert.True(found == completed || found == completed + 1, $"checkpoint {completed} was complete, found {found}");
        return found;
    }

    // What is left of a crash, half files and names, is no hindrance to a run that goes on there.
    private void AssertGoesOn(SimulatedDisk left)
    {
        CheckpointFolder folder = WrittenSteps.Folder(left);
        long step = _steps.FindNewest(folder);
        for (int i = 0; i < 3; i++) _steps.Write(folder, ++step);
        Assert.Equal(step, _steps.FindNewest(folder));
        Assert.Equal([step, step - 1], folder.Steps);
        Assert.All(left.Files, file => Assert.DoesNotContain(".tmp", file, StringComparison.Ordinal));
    }

    private static SimulatedDisk Cut(SimulatedDisk disk, int operations) => disk.AfterPowerLoss(() => true, powerEndsAt: operations);
}
