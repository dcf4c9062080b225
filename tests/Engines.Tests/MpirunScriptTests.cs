namespace DistTrain.Engines.Tests;

/// <summary>deploy/mpirun/train.sh under a real Open MPI: restarts, exit codes, signals, usage.</summary>
public sealed class MpirunScriptTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    private static string Script => Repository.Deploy("mpirun", "train.sh");

    [Fact]
    public void All_ranks_start_again_after_75_and_go_on()
    {
        CommandResult result = Run("--max-restarts 3 --restart-delay 0",
            "echo \"rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE restart $TORCHELASTIC_RESTART_COUNT secret ${#DISTTRAIN_JOB_SECRET}\"; [[ $TORCHELASTIC_RESTART_COUNT == 0 ]] && { sleep 0.3; exit 75; }; exit 0");
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(
            [
                "[1,0]<stdout>:rank 0 of 2 restart 0 secret 64", "[1,0]<stdout>:rank 0 of 2 restart 1 secret 64",
                "[1,1]<stdout>:rank 1 of 2 restart 0 secret 64", "[1,1]<stdout>:rank 1 of 2 restart 1 secret 64",
            ],
            result.Lines);
        Assert.Contains("train.sh: ended with 75; restart 1 of at most 3 in 0 s", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void It_stops_at_the_restart_limit_with_75()
    {
        CommandResult result = Run("--max-restarts 1 --restart-delay 0", "echo started; sleep 0.3; [[ $OMPI_COMM_WORLD_RANK == 1 ]] && exit 75; sleep 100");
        Assert.Equal(75, result.ExitCode);
        Assert.Equal(4, result.Lines.Length);
        Assert.Contains("train.sh: ended with 75 after 1 restarts, the most that --max-restarts allows", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_killed_rank_starts_all_again() => Assert.Equal(0, Run("--restart-delay 0", "[[ $TORCHELASTIC_RESTART_COUNT == 0 ]] && kill -KILL $$; exit 0").ExitCode);

    [Fact]
    public void Another_exit_code_is_passed_on_at_once_though_a_rank_ignores_term()
    {
        CommandResult result = Run("-n 4", "trap '' TERM; echo started; sleep 0.3; [[ $OMPI_COMM_WORLD_RANK == 2 ]] && exit 9; while :; do sleep 0.1; done");
        Assert.Equal(9, result.ExitCode);
        Assert.Equal(4, result.Lines.Length);
    }

    [Theory]
    [InlineData(75, 143)]
    [InlineData(143, 143)]
    public void Term_reaches_the_ranks_and_each_has_time_to_save(int rankCode, int expected)
    {
        SkipWithoutOpenMpi();
        string rank = _folder.Script("rank.sh", $"trap '[[ $OMPI_COMM_WORLD_RANK == 0 ]] && sleep 2; touch {_folder.Path}/saved$OMPI_COMM_WORLD_RANK; exit {rankCode}' TERM; touch {_folder.Path}/up$OMPI_COMM_WORLD_RANK; while :; do sleep 0.1; done");
        using Command command = new([], Script, rank);
        for (int turn = 0; turn < 100 && !(File.Exists(_folder["up0"]) && File.Exists(_folder["up1"])); turn++) Thread.Sleep(100);
        command.Signal(Command.Terminate);
        CommandResult result = command.Wait();
        Assert.True(result.ExitCode == expected, result.ToString());
        Assert.True(File.Exists(_folder["saved0"]) && File.Exists(_folder["saved1"]), result.ToString());
    }

    [Fact]
    public void A_second_term_and_more_end_ranks_that_do_not_stop()
    {
        SkipWithoutOpenMpi();
        string rank = _folder.Script("rank.sh", $"trap '' TERM; touch {_folder.Path}/up$OMPI_COMM_WORLD_RANK; while :; do sleep 0.1; done");
        using Command command = new([], Script, rank);
        for (int turn = 0; turn < 100 && !(File.Exists(_folder["up0"]) && File.Exists(_folder["up1"])); turn++) Thread.Sleep(100);
        for (int turn = 0; turn < 4; turn++)
        {
            command.Signal(Command.Terminate);
            Thread.Sleep(300);
        }
        Assert.Equal(143, command.Wait(20).ExitCode);
        Processes.AssertNone(() => Processes.With(_folder.Path));
    }

    [Fact]
    public void Slots_of_the_hostfile_say_how_many_ranks()
    {
        File.WriteAllText(_folder["hosts"], "# two here\nlocalhost slots=2\n");
        CommandResult result = Run($"--hostfile {_folder["hosts"]} --cores-per-rank 0", "echo rank $OMPI_COMM_WORLD_RANK of $OMPI_COMM_WORLD_SIZE");
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(["[1,0]<stdout>:rank 0 of 2", "[1,1]<stdout>:rank 1 of 2"], result.Lines);
    }

    [Theory]
    [InlineData("", "train.sh: no program; usage: train.sh [-n RANKS] [--hostfile FILE] [--] PROGRAM [ARGUMENTS...]")]
    [InlineData("-n x true", "train.sh: -n is 'x', expected a number")]
    [InlineData("-n 0 true", "train.sh: -n is 0, expected at least one rank")]
    [InlineData("--max-restarts", "train.sh: --max-restarts needs a value")]
    [InlineData("--nodes 2 true", "train.sh: unknown option --nodes; see the first lines of this file")]
    [InlineData("--hostfile /no/such/file true", "train.sh: can't read the hostfile /no/such/file")]
    public void Wrong_arguments_are_named_with_exit_code_2(string arguments, string message)
    {
        SkipWithoutOpenMpi();
        CommandResult result = Command.Run([], Script, arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(2, result.ExitCode);
        Assert.Equal(message + "\n", result.Errors);
    }

    internal static void SkipWithoutOpenMpi() => Assert.SkipWhen(Command.Find("mpirun.openmpi") is null, "Open MPI is not installed (Debian: apt-get install openmpi-bin)");

    private CommandResult Run(string options, string rank)
    {
        SkipWithoutOpenMpi();
        return Command.Run([], Script, [.. options.Split(' '), _folder.Script("rank.sh", rank)]);
    }

    public void Dispose()
    {
        Processes.AssertNone(() => Processes.With(_folder.Path));
        _folder.Dispose();
    }
}
