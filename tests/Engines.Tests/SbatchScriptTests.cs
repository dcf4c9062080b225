namespace DistTrain.Engines.Tests;

/// <summary>deploy/sbatch/train.sbatch under a real Slurm: what ends, what is requeued, what reaches the ranks.</summary>
public sealed class SbatchScriptTests(SlurmCluster cluster) : IClassFixture<SlurmCluster>, IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private string Log => File.Exists(_folder["log"]) ? File.ReadAllText(_folder["log"]) : "";

    [Fact]
    public void Starts_a_rank_on_each_node_with_a_secret_in_a_file_of_mode_600_and_removes_it()
    {
        cluster.Use();
        string job = Submit([], "echo \"rank $SLURM_PROCID of $SLURM_STEP_NUM_TASKS on $SLURMD_NODENAME: $1, cores $SLURM_CPUS_PER_TASK, secret $(stat -c %a $DISTTRAIN_JOB_SECRET_FILE) $(wc -c <$DISTTRAIN_JOB_SECRET_FILE)\"", "hello world");
        UntilEnded(job, "COMPLETED");
        Assert.Equal("0:0", cluster.Field(job, "ExitCode"));
        Assert.Contains("0: rank 0 of 2 on n1: hello world, cores 2, secret 600 64", Log, StringComparison.Ordinal);
        Assert.Contains("1: rank 1 of 2 on n2: hello world, cores 2, secret 600 64", Log, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Path, ".disttrain-*"));
    }

    [Fact]
    public void Real_ranks_join_over_two_nodes()
    {
        cluster.Use();
        MpirunScriptTests.SkipWithoutOpenMpi();
        string job = Submit([("DISTTRAIN_SRUN_OPTIONS", "--mpi=pmix"), SlurmCluster.OneHost], $"exec dotnet {Repository.RankProgram} connect");
        UntilEnded(job, "COMPLETED");
        Assert.Contains("0: rank 0 of 2: engine Slurm, local 0 of 1, restart 0, transport mpi, ok", Log, StringComparison.Ordinal);
        Assert.Contains("1: rank 1 of 2: engine Slurm, local 0 of 1, restart 0, transport mpi, ok", Log, StringComparison.Ordinal);
    }

    [Fact]
    public void A_rank_that_exits_75_sends_the_job_back_into_the_queue_and_it_goes_on()
    {
        cluster.Use();
        string job = Submit([], "echo \"restart ${SLURM_RESTART_COUNT:-0}\"; [[ ${SLURM_RESTART_COUNT:-0} == 0 && $SLURM_PROCID == 1 ]] && exit 75; exit 0");
        UntilEnded(job, "COMPLETED");
        Assert.Equal("1", cluster.Field(job, "Restarts"));
        Assert.Contains("start 1 of at most 6", Log, StringComparison.Ordinal);
        Assert.Contains("requeueing", Log, StringComparison.Ordinal);
        Assert.Contains("start 2 of at most 6", Log, StringComparison.Ordinal);
        Assert.Contains("1: restart 1", Log, StringComparison.Ordinal);
        Assert.Empty(Directory.GetFiles(_folder.Path, ".disttrain-*"));
    }

    [Fact]
    public void A_killed_rank_sends_the_job_back_too()
    {
        cluster.Use();
        Assert.SkipUnless(Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1", "a soak: set DISTTRAIN_SOAK=1 (the short run requeues two other jobs)");
        string job = Submit([], "[[ -n ${SLURM_RESTART_COUNT:-} ]] && exit 0; [[ $SLURM_PROCID == 1 ]] && kill -KILL $$; sleep 1; exit 75");
        UntilEnded(job, "COMPLETED");
        Assert.Equal("1", cluster.Field(job, "Restarts"));
    }

    [Fact]
    public void At_the_restart_limit_75_is_the_jobs_exit_code()
    {
        cluster.Use();
        string job = Submit([("DISTTRAIN_MAX_RESTARTS", "0")], "exit 75");
        UntilEnded(job, "FAILED");
        Assert.Equal("75:0", cluster.Field(job, "ExitCode"));
        Assert.Equal("0", cluster.Field(job, "Restarts"));
        Assert.Contains("the step ended with 75 after 0 restarts", Log, StringComparison.Ordinal);
    }

    [Fact]
    public void Another_exit_code_ends_the_job_though_its_peers_say_75()
    {
        cluster.Use();
        string job = Submit([], "[[ $SLURM_PROCID == 1 ]] && exit 3; sleep 1; exit 75");
        UntilEnded(job, "FAILED");
        Assert.Equal("3:0", cluster.Field(job, "ExitCode"));
        Assert.Equal("0", cluster.Field(job, "Restarts"));
    }

    [Fact]
    public void Usr1_before_the_time_is_up_reaches_the_ranks_as_term_and_the_job_is_requeued_when_they_have_saved()
    {
        cluster.Use();
        string job = Submit([], "trap '[[ $SLURM_PROCID == 0 ]] && sleep 1; echo saved; exit 143' TERM; echo up; while :; do sleep 0.1; done");
        cluster.Until(job, () => Log.Contains("0: up", StringComparison.Ordinal) && Log.Contains("1: up", StringComparison.Ordinal));
        Assert.Equal(0, cluster.Run("scancel", "--batch", "--signal=USR1", job).ExitCode);
        cluster.Until(job, () => cluster.Field(job, "Restarts") == "1" && cluster.Field(job, "JobState") == "PENDING");
        Assert.Equal("BeginTime", cluster.Field(job, "Reason"));
        // That it goes on then is another test's.
        Assert.Equal(0, cluster.Run("scancel", job).ExitCode);
        Assert.Contains("0: saved", Log, StringComparison.Ordinal);
        Assert.Contains("1: saved", Log, StringComparison.Ordinal);
    }

    [Fact]
    public void Term_reaches_the_ranks_and_ends_the_job_without_requeueing()
    {
        cluster.Use();
        string job = Submit([], "trap 'echo saved; exit 143' TERM; echo up; while :; do sleep 0.1; done");
        cluster.Until(job, () => Log.Contains("0: up", StringComparison.Ordinal) && Log.Contains("1: up", StringComparison.Ordinal));
        Assert.Equal(0, cluster.Run("scancel", "--batch", "--signal=TERM", job).ExitCode);
        UntilEnded(job, "FAILED");
        Assert.Equal("143:0", cluster.Field(job, "ExitCode"));
        Assert.Equal("0", cluster.Field(job, "Restarts"));
        Assert.Contains("0: saved", Log, StringComparison.Ordinal);
        Assert.Contains("1: saved", Log, StringComparison.Ordinal);
    }

    [Fact]
    public void A_cancelled_job_stays_cancelled_even_if_its_ranks_say_75()
    {
        cluster.Use();
        string job = Submit([], "trap 'echo saved; exit 75' TERM; echo up; while :; do sleep 0.1; done");
        cluster.Until(job, () => Log.Contains("0: up", StringComparison.Ordinal) && Log.Contains("1: up", StringComparison.Ordinal));
        Assert.Equal(0, cluster.Run("scancel", job).ExitCode);
        UntilEnded(job, "CANCELLED");
        Assert.Equal("0", cluster.Field(job, "Restarts"));
    }

    [Fact]
    public void Without_a_program_it_says_how_to_use_it()
    {
        CommandResult result = Command.Run([("SLURM_JOB_ID", "1")], Repository.Deploy("sbatch", "train.sbatch"));
        Assert.Equal(2, result.ExitCode);
        Assert.Equal("train.sbatch: no program; usage: sbatch train.sbatch PROGRAM [ARGUMENTS...]\n", result.Errors);
    }

    [Fact]
    public void Started_without_slurm_it_says_so()
    {
        CommandResult result = Command.Run([("SLURM_JOB_ID", null)], Repository.Deploy("sbatch", "train.sbatch"), "true");
        Assert.Equal(2, result.ExitCode);
        Assert.Equal("train.sbatch: not in a Slurm job; start it as: sbatch train.sbatch PROGRAM [ARGUMENTS...]\n", result.Errors);
    }

    private string Submit((string, string?)[] environment, string rank, params string[] arguments) => cluster.Submit(
        [("DISTTRAIN_SECRET_FOLDER", _folder.Path), ("DISTTRAIN_EXIT_WAIT", "4"), .. environment],
        ["--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=2", "--time=5", "--output=" + _folder["log"], Repository.Deploy("sbatch", "train.sbatch"), _folder.Script("rank.sh", rank), .. arguments]);

    // The state is final once nothing completes any more.
    private void UntilEnded(string job, string state)
    {
        cluster.Until(job, () => cluster.Field(job, "JobState") is "COMPLETED" or "FAILED" or "CANCELLED" or "TIMEOUT" or "NODE_FAIL");
        Assert.True(cluster.Field(job, "JobState") == state, cluster.Run("scontrol", "show", "job", job) + Log);
    }

    public void Dispose()
    {
        Processes.AssertNone(() => Processes.With(_folder.Path));
        _folder.Dispose();
    }
}
