using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Cli.Tests;

public sealed class LaunchTests
{
    [Fact]
    public void Each_rank_gets_torchruns_environment_and_what_is_needed_to_meet()
    {
        ToolResult result = Launch("--nproc-per-node", "2", "--run-id", "r7", "--max-restarts", "3", "--", "bash", "-c",
            "echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $GROUP_RANK $MASTER_ADDR $TORCHELASTIC_RESTART_COUNT $TORCHELASTIC_MAX_RESTARTS $TORCHELASTIC_RUN_ID $DISTTRAIN_JOB_SECRET $DISTTRAIN_RENDEZVOUS $MASTER_PORT");

        Assert.Equal((0, ""), (result.ExitCode, result.Errors));
        string[] lines = [.. result.Output.TrimEnd().Split('\n').Order(StringComparer.Ordinal)];
        for (int rank = 0; rank < 2; rank++)
            Assert.Matches($@"^\[{rank}\] {rank} 2 {rank} 2 0 127\.0\.0\.1 0 3 r7 [0-9a-f]{{64}} @disttrain-[0-9a-f]{{24}}-0 [0-9]+$", lines[rank]);
        Assert.Equal(lines[0].Split(' ')[10..], lines[1].Split(' ')[10..]);
    }

    [Fact]
    public void Each_line_has_its_rank_and_stays_on_its_stream_even_without_a_line_end()
    {
        ToolResult result = Launch("--nproc-per-node", "2", "--", "bash", "-c", "echo out; echo; echo err >&2; printf 'no end'; printf 'nor here' >&2");

        Assert.Equal(["[0] ", "[0] no end", "[0] out", "[1] ", "[1] no end", "[1] out"], result.Output.TrimEnd('\n').Split('\n').Order(StringComparer.Ordinal));
        Assert.Equal(["[0] err", "[0] nor here", "[1] err", "[1] nor here"], result.Errors.TrimEnd('\n').Split('\n').Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Much_output_of_several_ranks_comes_through_with_no_line_broken_or_lost()
    {
        ToolResult result = Launch("--nproc-per-node", "3", "--", "bash", "-c", "seq 1 100000 | sed \"s/^/$RANK-/;s/$/-end/\"; seq 1 20000 >&2");

        Assert.Equal(0, result.ExitCode);
        int[] next = [1, 1, 1];
        foreach (string line in result.Output.TrimEnd('\n').Split('\n'))
        {
            int rank = line[1] - '0';
            Assert.Equal($"[{rank}] {rank}-{next[rank]++}-end", line);
        }
        Assert.Equal([100_001, 100_001, 100_001], next);
        Assert.Equal(60_000, result.Errors.TrimEnd('\n').Split('\n').Length);
    }

    [Fact]
    public void A_line_of_more_than_a_mebibyte_comes_in_pieces_and_nothing_of_it_is_lost()
    {
        ToolResult result = Launch("--", "bash", "-c", "head -c 2500000 /dev/zero | tr '\\0' x");

        Assert.Equal([4 + (1 << 20), 4 + (1 << 20), 4 + 2_500_000 - (2 << 20)], result.Output.TrimEnd('\n').Split('\n').Select(line => line.Length));
    }

    [Fact]
    public void Log_files_hold_the_bytes_as_they_were_written_for_each_rank_and_restart()
    {
        using TemporaryFolder folder = new();

        ToolResult result = Launch("--nproc-per-node", "2", "--max-restarts", "1", "--log-dir", folder.Path, "--run-id", "run", "--", "bash", "-c",
            "printf 'a\\377\\r\\0b'; printf e >&2; sleep 0.2; exit $((1 - TORCHELASTIC_RESTART_COUNT))");

        Assert.Equal(0, result.ExitCode);
        for (int file = 0; file < 4; file++)
        {
            Assert.Equal([(byte)'a', 0xff, (byte)'\r', 0, (byte)'b'], File.ReadAllBytes(folder[$"run/{file / 2}/rank-{file % 2}.stdout.log"]));
            Assert.Equal("e", File.ReadAllText(folder[$"run/{file / 2}/rank-{file % 2}.stderr.log"]));
        }
    }

    [Fact]
    public void Logs_of_an_earlier_job_of_the_same_name_are_kept()
    {
        using TemporaryFolder folder = new();

        foreach (string text in new[] { "first", "second", "third" })
            Assert.Equal(0, Launch("--log-dir", folder.Path, "--run-id", "run", "--", "bash", "-c", $"echo {text}; echo {text} error >&2").ExitCode);

        Assert.Equal(["first\n", "second\n", "third\n"], new[] { ".1", ".2", "" }.Select(number => File.ReadAllText(folder[$"run/0/rank-0.stdout.log{number}"])));
        Assert.Equal("first error\n", File.ReadAllText(folder["run/0/rank-0.stderr.log.1"]));
    }

    [Fact]
    public void The_first_failing_rank_is_named_with_its_code_and_last_lines_and_nothing_of_the_others_is_left()
    {
        // Each other rank has a child in its group, one in a group of its own and a daemon in a session of its own, which its parent has left.
        const string Others = "sleep 61 & c=$!; set -m; sleep 62 & g=$!; set +m; d=$(setsid sh -c 'sleep 63 >/dev/null 2>&1 & echo $!'); echo $$ $c $g $d ready; wait";
        using Launched launched = new("--nproc-per-node", "3", "--grace", "5", "--", "bash", "-c", $"if [ $RANK = 1 ]; then sleep 0.7; seq 1 30; exit 7; fi; {Others}");

        int[] processes = launched.AwaitReady(8);
        ToolResult result = launched.AwaitEnd();

        Assert.Equal(7, result.ExitCode);
        Assert.Matches(@"disttrain: rank 1 \(pid \d+\) failed: exit code 7; stopping the 2 that still run\n", result.Errors);
        Assert.Matches(@"disttrain: rank 1 \(pid \d+\) was the first to fail, with exit code 7; its last 20 lines:\n    11\n(    \d+\n){18}    30\n$", result.Errors);
        Launched.AssertGone(processes, TimeSpan.Zero);
    }

    [Fact]
    public void A_rank_that_dies_of_a_signal_is_reported_by_the_signals_name_though_its_peers_fail_as_well()
    {
        // Rank 0 sees it and leaves with the retryable code, as communicators do.
        ToolResult result = Launch("--nproc-per-node", "2", "--", "bash", "-c", "if [ $RANK = 1 ]; then sleep 0.2; kill -SEGV $$; fi; sleep 0.19; exit 75");

        Assert.Equal(139, result.ExitCode);
        Assert.Contains("was the first to fail, with SIGSEGV; it wrote nothing", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_group_is_started_again_with_its_count_a_new_meeting_place_and_a_new_secret()
    {
        ToolResult result = Launch("--nproc-per-node", "2", "--max-restarts", "2", "--", "bash", "-c",
            "[ $RANK = 0 ] && echo $DISTTRAIN_RENDEZVOUS $DISTTRAIN_JOB_SECRET; sleep 0.1; [ $TORCHELASTIC_RESTART_COUNT = 2 ] || { [ $RANK = 1 ] && exit 75; sleep 60; }");

        Assert.Equal(0, result.ExitCode);
        string[][] starts = [.. result.Output.TrimEnd().Split('\n').Select(line => line.Split(' '))];
        Assert.Equal(3, starts.Length);
        Assert.Equal(3, starts.Select(words => words[1]).Distinct().Count());
        Assert.Equal(3, starts.Select(words => words[2]).Distinct().Count());
        Assert.Contains("disttrain: restart 1 of 2: all 2 ranks start again, because rank 1 failed (exit code 75, retryable)\n", result.Errors, StringComparison.Ordinal);
        Assert.Contains("disttrain: restart 2 of 2: ", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void When_the_restarts_are_used_up_the_retryable_code_is_passed_on()
    {
        ToolResult result = Launch("--nproc-per-node", "2", "--max-restarts", "1", "--", "bash", "-c", "exit 75");

        Assert.Equal(75, result.ExitCode);
        Assert.EndsWith("disttrain: all 1 restarts are used up\n", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void Wrong_usage_ends_the_job_whatever_restarts_are_left()
    {
        ToolResult result = Launch("--max-restarts", "3", "--", "bash", "-c", "echo started; exit 2");

        Assert.Equal((2, "[0] started\n"), (result.ExitCode, result.Output));
        Assert.EndsWith("disttrain: exit code 2 means wrong usage: it would not help to start again\n", result.Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_daemon_that_holds_an_output_open_does_not_keep_a_job_that_ended_well()
    {
        ToolResult result = Launch("--grace", "1", "--", "bash", "-c", "setsid sleep 64 & sleep 0.1; echo done");

        Assert.Equal((0, "[0] done\n", ""), (result.ExitCode, result.Output, result.Errors));
    }

    [Fact]
    public void Ranks_read_nothing_from_the_terminal_and_are_bound_to_their_own_cores_where_there_are_enough()
    {
        ToolResult result = Launch("--nproc-per-node", $"{Environment.ProcessorCount}", "--", "bash", "-c", "cat; echo $(nproc) $OMP_NUM_THREADS $DISTTRAIN_CORES");

        string[] lines = result.Output.TrimEnd().Split('\n');
        Assert.All(lines, line => Assert.Matches(@"^\[\d+\] 1 1 \d+$", line));
        Assert.Equal(Environment.ProcessorCount, lines.Select(line => line.Split(' ')[3]).Distinct().Count());
        Assert.Equal("[0] ", Launch("--cores", "all", "--", "bash", "-c", "echo $DISTTRAIN_CORES").Output.TrimEnd('\n'));
    }

    [Theory]
    [InlineData(new[] { 0, 1, 4, 5, 6 }, 2, "0,1,4|5,6")]
    [InlineData(new[] { 3 }, 1, "3")]
    [InlineData(new[] { 0, 1 }, 3, null)]
    public void Cores_are_shared_in_runs_of_neighbours(int[] cores, int ranks, string? shares) =>
        Assert.Equal(shares, CoreShares.Divide(cores, ranks) is { } divided ? string.Join('|', divided.Select(share => string.Join(',', share))) : null);

    [Theory]
    [InlineData("unknown option '--nproc-per-nod'. Did you mean '--nproc-per-node'?", "--nproc-per-nod", "2", "--", "true")]
    [InlineData("The program to launch goes behind --", "true")]
    [InlineData("expected the program behind --")]
    [InlineData("--nproc-per-node 0: expected a whole number from 1 to 4096", "--nproc-per-node", "0", "--", "true")]
    [InlineData("--nnodes 3:2: expected a number from 1 to 256, or MIN:MAX", "--nnodes", "3:2", "--", "true")]
    [InlineData("--grace soon: expected seconds", "--grace", "soon", "--", "true")]
    [InlineData("--cores shar: expected share, all. Did you mean 'share'?", "--cores", "shar", "--", "true")]
    [InlineData("--run-id ../x: expected up to 64 letters", "--run-id", "../x", "--", "true")]
    [InlineData("no-such-program is no program in PATH", "--", "no-such-program")]
    [InlineData("app.dll is no program in PATH; start it with: -- dotnet app.dll", "--", "app.dll")]
    public void What_cannot_be_launched_is_a_matter_of_usage(string message, params string[] arguments)
    {
        ToolResult result = Launch(arguments);

        Assert.Contains(message, result.Errors, StringComparison.Ordinal);
        Assert.Equal((2, ""), (result.ExitCode, result.Output));
    }

    [Fact]
    public void Options_that_are_not_given_come_from_torchruns_variables_and_are_blamed_by_their_names()
    {
        Assert.Equal("[0] 3 2\n", Tool.RunWith([("PET_NPROC_PER_NODE", "2"), ("PET_MAX_RESTARTS", "3")], "launch", "--", "bash", "-c", "[ $RANK = 1 ] || echo $TORCHELASTIC_MAX_RESTARTS $WORLD_SIZE").Output);
        // Kubeflow's default; without GPUs a process has the whole machine.
        if (DeviceCatalog.List(DeviceKind.Cuda).All(gpu => gpu.Unusable is not null))
        {
            Assert.Equal("[0] 1\n", Tool.RunWith([("PET_NPROC_PER_NODE", "auto")], "launch", "--", "bash", "-c", "echo $WORLD_SIZE").Output);
            Assert.Contains("environment variable PET_NPROC_PER_NODE gpu: cuda:0: ", Tool.RunWith([("PET_NPROC_PER_NODE", "gpu")], "launch", "--", "true").Errors, StringComparison.Ordinal);
        }
        Assert.Equal($"[0] {Environment.ProcessorCount}\n", Tool.Run(["launch", "--nproc-per-node", "cpu", "--", "bash", "-c", "[ $RANK != 0 ] || echo $WORLD_SIZE"]).Output);
        Assert.Equal("[0] node7 4711\n", Tool.RunWith([("PET_RDZV_ENDPOINT", "node7:4711")], "launch", "--", "bash", "-c", "echo $MASTER_ADDR $MASTER_PORT").Output);
        Assert.Contains("environment variable PET_RDZV_ENDPOINT node7:x: expected HOST:PORT", Tool.RunWith([("PET_RDZV_ENDPOINT", "node7:x")], "launch", "--", "true").Errors, StringComparison.Ordinal);
        Assert.Contains("environment variable PET_MAX_RESTARTS few: expected a whole number from 0", Tool.RunWith([("PET_MAX_RESTARTS", "few")], "launch", "--", "true").Errors, StringComparison.Ordinal);
    }

    [Fact]
    public void A_log_folder_that_cannot_be_written_is_an_error_and_leaves_no_rank()
    {
        using TemporaryFolder folder = new();
        File.WriteAllText(folder["file"], "");

        ToolResult result = Launch("--nproc-per-node", "2", "--grace", "1", "--log-dir", folder["file"], "--", "sleep", "69.125");

        Assert.Equal(1, result.ExitCode);
        Assert.Contains(folder["file"], result.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain(Directory.EnumerateDirectories("/proc"), process => IsCommand(process, "69.125"));
    }

    [Fact]
    public void A_killed_rank_of_a_real_world_is_the_one_that_is_named_and_all_meet_again()
    {
        Assert.SkipUnless(ShimLibrary.IsTransportAvailable("shm", out string problem), problem);
        string program = Path.Combine(Tool.Root, "artifacts", "bin", "RankProgram", new DirectoryInfo(AppContext.BaseDirectory).Name, "RankProgram.dll");
        // At the first start rank 1 is killed while both sum up without end; at the second they meet anew, sum up once and leave.
        string rank = "export ADDRESS=$DISTTRAIN_RENDEZVOUS SECRET=$DISTTRAIN_JOB_SECRET TIMEOUT_MS=20000; [ $TORCHELASTIC_RESTART_COUNT = 1 ] && exec dotnet \"$0\" once; "
            + "if [ $RANK = 1 ]; then (sleep 1.5; kill -KILL $$) & fi; exec dotnet \"$0\" stream";
        ToolResult result = Launch("--nproc-per-node", "2", "--max-restarts", "1", "--", "bash", "-c", rank, program);

        Assert.Equal(0, result.ExitCode);
        Assert.Matches(@"rank 1 \(pid \d+\) was the first to fail, with SIGKILL", result.Errors);
        Assert.Equal(4, result.Output.Split('\n').Count(line => line.EndsWith(" ready", StringComparison.Ordinal)));
    }

    [Fact]
    public void Several_nodes_without_NCCL_are_sent_to_mpirun_and_srun_with_the_lines_to_use()
    {
        ToolResult result = Launch("--nnodes", "2", "--nproc-per-node", "4", "--master-addr", "h", "--", "bash", "-c", "echo it's");
        Assert.SkipWhen(result.ExitCode != 2 || !result.Errors.Contains("needs NCCL", StringComparison.Ordinal), "NCCL and a GPU are here");

        Assert.Contains("\n    mpirun -n 8 --map-by ppr:4:node bash -c 'echo it'\\''s'\n", result.Errors, StringComparison.Ordinal);
        Assert.Contains("\n    srun --nodes=2 --ntasks-per-node=4 --mpi=pmix bash -c 'echo it'\\''s'\n", result.Errors, StringComparison.Ordinal);
    }

    private static bool IsCommand(string process, string argument)
    {
        try
        {
            return File.ReadAllText(Path.Combine(process, "cmdline")).Contains(argument, StringComparison.Ordinal);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static ToolResult Launch(params string[] arguments) => Tool.Run(["launch", .. arguments]);
}
