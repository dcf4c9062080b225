namespace DistTrain.Engines.Tests;

/// <summary>disttrain train as the scripts start it: several ranks train one model, are stopped, and go on from their checkpoint.</summary>
public sealed class TrainingTests(SlurmCluster cluster) : IClassFixture<SlurmCluster>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void Under_the_mpirun_script_two_ranks_stop_at_term_with_a_checkpoint_and_go_on_to_the_end()
    {
        MpirunScriptTests.SkipWithoutOpenMpi();
        SkipShortRun();
        string[] line = ["-n", "2", "--", .. Train(epochs: 4)];
        using (Command command = new([], Repository.Deploy("mpirun", "train.sh"), line))
        {
            UntilTraining(() => { });
            command.Signal(Command.Terminate);
            CommandResult stopped = command.Wait();
            Assert.True(stopped.ExitCode == 143, stopped.ToString());
        }
        Assert.NotEmpty(Directory.GetFileSystemEntries(_folder["checkpoints"]));
        CommandResult result = Command.Run([], Repository.Deploy("mpirun", "train.sh"), line);
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Contains("checkpoint", result.Output + result.Errors, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public void Under_the_batch_script_usr1_stops_two_ranks_with_a_checkpoint_and_the_requeued_job_goes_on_to_the_end()
    {
        cluster.Use();
        MpirunScriptTests.SkipWithoutOpenMpi();
        SkipShortRun();
        string job = cluster.Submit([("DISTTRAIN_SECRET_FOLDER", _folder.Path), ("DISTTRAIN_SRUN_OPTIONS", "--mpi=pmix"), SlurmCluster.OneHost],
            ["--nodes=2", "--ntasks-per-node=1", "--time=5", "--output=" + _folder["log"], Repository.Deploy("sbatch", "train.sbatch"), .. Train(epochs: 4)]);
        UntilTraining(() => Assert.True(cluster.Field(job, "JobState") is "PENDING" or "RUNNING", File.Exists(_folder["log"]) ? File.ReadAllText(_folder["log"]) : "no log"));
        Assert.Equal(0, cluster.Run("scancel", "--batch", "--signal=USR1", job).ExitCode);
        cluster.Until(job, () => cluster.Field(job, "JobState") is "COMPLETED" or "FAILED" or "CANCELLED", seconds: 90);
        string log = File.ReadAllText(_folder["log"]);
        Assert.True(cluster.Field(job, "JobState") == "COMPLETED", log);
        Assert.Equal("1", cluster.Field(job, "Restarts"));
        Assert.Contains("requeueing", log, StringComparison.Ordinal);
    }

    private static void SkipShortRun() =>
        Assert.SkipUnless(Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1", "a soak: set DISTTRAIN_SOAK=1 (the short run restarts and requeues small scripts)");

    private string[] Train(int epochs) =>
        [.. Repository.Tool, "train", "--data", "digits", "--model", "mlp", "--epochs", $"{epochs}", "--checkpoint", _folder["checkpoints"], "--output", _folder["run"]];

    // An epoch's end leaves the first checkpoint.
    private void UntilTraining(Action check)
    {
        for (int turn = 0; !(Directory.Exists(_folder["checkpoints"]) && Directory.GetFileSystemEntries(_folder["checkpoints"]).Length > 0); turn++)
        {
            check();
            Assert.True(turn < 300, "no checkpoint within 30 s");
            Thread.Sleep(100);
        }
    }

    public void Dispose()
    {
        Processes.AssertNone(() => Processes.With(_folder.Path));
        _folder.Dispose();
    }
}
