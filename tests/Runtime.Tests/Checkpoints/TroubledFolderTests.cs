namespace DistTrain.Runtime.Tests;

/// <summary>What happens to checkpoints in real folders of real file systems.</summary>
public sealed class TroubledFolderTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), $"disttrain-folder-{Guid.NewGuid():N}");
    private readonly List<string> _said = [];

    public void Dispose()
    {
        if (Directory.Exists(_folder)) Directory.Delete(_folder, recursive: true);
    }

    // Room for nothing, for some of the files, for all but the manifest.
    [Theory]
    [InlineData(0)]
    [InlineData(4096)]
    [InlineData(8192)]
    public void On_a_full_disk_the_last_good_checkpoint_stays_and_the_run_goes_on_from_it_when_there_is_room(long free)
    {
        using MountedDisk disk = new(1 << 20);
        string folder = Path.Combine(disk.Path, "checkpoints");
        Stops(folder, 4);
        disk.Fill(free);
        Assert.Contains("No space left on device", Fails(folder), StringComparison.Ordinal);
        Assert.Equal([4], new CheckpointFolder(folder).Steps);
        Assert.Contains("No space left on device", Fails(folder), StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(disk.Path, "*.tmp", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0 }));
        disk.Free();
        Ends(folder);
    }

    [Fact]
    public void In_a_read_only_folder_a_run_goes_on_and_fails_clearly_when_it_must_save()
    {
        using MountedDisk disk = new(1 << 20);
        string folder = Path.Combine(disk.Path, "checkpoints");
        Stops(folder, 4);
        disk.MakeReadOnly();
        Assert.Contains("Read-only file system", Fails(folder), StringComparison.Ordinal);
        Assert.Contains($"going on from the checkpoint of step 4 in {folder}", _said);
        disk.MakeWritable();
        Assert.Equal(4, new CheckpointFolder(folder).FindNewest()!.Position.Step);
        Ends(folder);
    }

    [Fact]
    public void A_folder_that_is_removed_while_a_run_goes_on_is_made_again()
    {
        Stops(_folder, 2);
        float[] found = TrainedRun.Train(Options(_folder), callbacks: new TrainedRun.AtStep(5, () => Directory.Delete(_folder, recursive: true)));
        Assert.Equal(TrainedRun.Train(null), found);
        Assert.Equal(9, new CheckpointFolder(_folder).FindNewest()!.Position.Step);
    }

    [Fact]
    public void A_folder_that_disappears_and_comes_back_has_lost_nothing()
    {
        Stops(_folder, 4);
        string away = _folder + "-away";
        Directory.Move(_folder, away);
        // What a share that is gone leaves in its place: something that can't be written into.
        File.WriteAllText(_folder, "");
        try
        {
            Assert.Contains(_folder, Fails(_folder), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(_folder);
            Directory.Move(away, _folder);
        }
        Assert.Equal(4, new CheckpointFolder(_folder).FindNewest()!.Position.Step);
        Ends(_folder);
    }

    [Fact]
    public void The_times_of_files_decide_nothing()
    {
        foreach (int step in new[] { 2, 4, 6 }) Stops(_folder, step);
        CheckpointFolder folder = new(_folder);
        (int Step, int Year)[] times = [(2, 2090), (4, 1980), (6, 1971)];
        foreach ((int step, int year) in times)
        {
            foreach (string entry in Directory.EnumerateFiles(folder.PathOf(step)).Append(folder.PathOf(step)).ToArray()) File.SetLastWriteTimeUtc(entry, new DateTime(year, 1, 1, 0, 0, 0, DateTimeKind.Utc));
        }
        Assert.Equal(6, folder.FindNewest()!.Position.Step);
        Stops(_folder, 7);
        Assert.Contains($"going on from the checkpoint of step 6 in {_folder}", _said);
        Assert.Equal([7, 6, 4], folder.Steps);
        Ends(_folder);
    }

    private CheckpointOptions Options(string folder) => new() { Folder = folder, EveryEpoch = false, RetryFor = TimeSpan.Zero, Say = _said.Add };

    private void Stops(string folder, int step) => Assert.Throws<PreemptedException>(() => TrainedRun.Train(Options(folder), stopAfter: step));

    private string Fails(string folder)
    {
        CheckpointException failure = Assert.Throws<CheckpointException>(() => TrainedRun.Train(Options(folder)));
        Assert.StartsWith($"the checkpoint of step 9 could not be written to {Path.Combine(folder, "step-000000000009")}: ", failure.Message, StringComparison.Ordinal);
        return failure.Message;
    }

    private void Ends(string folder)
    {
        Assert.Equal(TrainedRun.Train(null), TrainedRun.Train(Options(folder)));
        Assert.Equal(9, new CheckpointFolder(folder).FindNewest()!.Position.Step);
    }
}
