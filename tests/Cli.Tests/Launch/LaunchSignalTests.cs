namespace DistTrain.Cli.Tests;

public sealed class LaunchSignalTests
{
    private const int Hangup = 1, Interrupt = 2, KillSignal = 9, User1 = 10, User2 = 12, Terminate = 15;

    [Theory]
    [InlineData(Hangup, "HUP")]
    [InlineData(Interrupt, "INT")]
    [InlineData(Terminate, "TERM")]
    [InlineData(User1, "USR1")]
    [InlineData(User2, "USR2")]
    public void A_signal_is_passed_on_to_all_ranks_whose_exit_code_is_the_launchers(int signal, string name)
    {
        using Launched launched = Waiting(2, $"trap 'echo got {name}; exit 75' {name}", "--max-restarts", signal is User2 ? "0" : "5");

        launched.AwaitReady(2);
        launched.Signal(signal);
        ToolResult result = launched.AwaitEnd();

        Assert.Equal(75, result.ExitCode);
        Assert.Equal([$"[0] got {name}", $"[1] got {name}"], result.Output.TrimEnd().Split('\n').Order(StringComparer.Ordinal));
        Assert.DoesNotContain("restart 1", result.Errors, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(Interrupt, 130)]
    [InlineData(Terminate, 143)]
    public void Ranks_that_do_not_handle_it_die_of_it_and_the_code_says_so(int signal, int code)
    {
        using Launched launched = Waiting(2, "true", "--max-restarts", "5");

        int[] ranks = launched.AwaitReady(2);
        launched.Signal(signal);

        Assert.Equal(code, launched.AwaitEnd().ExitCode);
        Launched.AssertGone(ranks, TimeSpan.Zero);
    }

    [Fact]
    public void Whenever_it_is_told_to_end_it_does()
    {
        // From the first instruction to ranks that run.
        for (int delay = 20; delay <= 400; delay += 20)
        {
            using Launched launched = new("--", "sleep", "100");
            Thread.Sleep(delay);
            launched.Signal(Terminate);
            Assert.Equal(143, launched.AwaitEnd().ExitCode);
        }
    }

    [Fact]
    public void Ranks_that_do_not_go_in_the_grace_time_are_killed()
    {
        using Launched launched = Waiting(2, "trap '' TERM", "--grace", "0.3");

        int[] ranks = launched.AwaitReady(2);
        launched.Signal(Terminate);
        ToolResult result = launched.AwaitEnd();

        Assert.Equal(143, result.ExitCode);
        Assert.Contains("ranks 0, 1 did not end in the grace time of 0.3 s: SIGKILL", result.Errors, StringComparison.Ordinal);
        Launched.AssertGone(ranks, TimeSpan.Zero);
    }

    [Fact]
    public void The_second_interrupt_kills_at_once_even_ranks_that_are_stopped()
    {
        using Launched launched = new("--nproc-per-node", "2", "--grace", "600", "--", "bash", "-c", "trap 'echo again ready' INT; echo $$ ready; [ $RANK = 0 ] && kill -STOP $$; sleep 67 & while :; do wait; done");

        int[] ranks = launched.AwaitReady(2);
        launched.Signal(Interrupt);
        Assert.Contains("[1] again ready", launched.Output.ReadLine(), StringComparison.Ordinal);
        launched.Signal(Interrupt);

        Assert.Equal(130, launched.AwaitEnd().ExitCode);
        Launched.AssertGone(ranks, TimeSpan.Zero);
    }

    [Fact]
    public void When_the_launcher_is_killed_its_ranks_and_their_children_are_gone_within_a_second()
    {
        using Launched launched = new("--nproc-per-node", "2", "--", "bash", "-c", "trap '' TERM HUP; sleep 65 & echo $$ $! ready; wait");

        int[] processes = launched.AwaitReady(4);
        launched.Signal(KillSignal);

        Launched.AssertGone(processes, TimeSpan.FromSeconds(1));
    }

    [Fact]
    public void A_reader_that_does_not_read_keeps_nobody_from_ending_the_job()
    {
        using Launched launched = new("--nproc-per-node", "2", "--grace", "1", "--", "bash", "-c", "echo $$ ready; while :; do echo 0123456789012345678901234567890123456789; done");

        int[] ranks = launched.AwaitReady(2);
        Thread.Sleep(300);
        launched.Signal(Terminate);

        // Nothing more is read: the pipe is full.
        Assert.True(launched.WaitForExit());
        Launched.AssertGone(ranks, TimeSpan.Zero);
    }

    [Fact]
    public void A_reader_that_does_not_read_the_output_keeps_no_message_back()
    {
        using Launched launched = new("--nproc-per-node", "1", "--grace", "1", "--", "bash", "-c", "trap '' TERM; echo $$ ready; while :; do echo 0123456789012345678901234567890123456789; done");

        launched.AwaitReady(1);
        Thread.Sleep(300);
        launched.Signal(Terminate);

        Assert.True(launched.WaitForExit());
        Assert.Contains("rank 0 did not end in the grace time of 1 s: SIGKILL", launched.AwaitEnd().Errors, StringComparison.Ordinal);
    }

    private static Launched Waiting(int ranks, string before, params string[] options) =>
        new(["--nproc-per-node", $"{ranks}", .. options, "--", "bash", "-c", $"{before}; echo $$ ready; sleep 67 & while :; do wait; done"]);
}
