namespace DistTrain.Kernels.Tests;

public sealed unsafe class ThreadTeamTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    public void Every_item_runs_exactly_once_whatever_the_contention(int threads)
    {
        using ThreadTeam team = new(threads);
        int[] counts = new int[1000];
        fixed (int* cells = counts)
        {
            for (int round = 0; round < 300; round++)
            {
                CountJob job = new() { Counts = cells };
                team.Run(ref job, (round * 37 % 1000) + 1);
            }
        }
        int[] expected = new int[1000];
        for (int round = 0; round < 300; round++)
            for (int item = 0; item <= round * 37 % 1000; item++) expected[item]++;

        Assert.Equal(expected, counts);
    }

    [Fact]
    public void No_items_run_nothing()
    {
        using ThreadTeam team = new(3);
        CountJob job = new() { Counts = null };
        team.Run(ref job, 0);
        Assert.Equal(3, team.ThreadCount);
    }

    [Fact]
    public void A_nested_call_runs_in_the_thread_that_makes_it()
    {
        using ThreadTeam team = new(3);
        int[] counts = new int[50];
        fixed (int* cells = counts)
        {
            NestedJob.Team = team;
            NestedJob job = new() { Counts = cells };
            team.Run(ref job, 40);
        }

        Assert.All(counts, count => Assert.Equal(40, count));
    }

    [Fact]
    public void Callers_in_different_threads_do_not_mix()
    {
        using ThreadTeam team = new(3);
        int[][] counts = [.. Enumerable.Range(0, 4).Select(_ => new int[100])];
        Thread[] callers = [.. counts.Select(own => new Thread(() =>
        {
            fixed (int* cells = own)
            {
                for (int round = 0; round < 200; round++)
                {
                    CountJob job = new() { Counts = cells };
                    team.Run(ref job, 100);
                }
            }
        }))];
        foreach (Thread caller in callers) caller.Start();
        foreach (Thread caller in callers) caller.Join();

        Assert.All(counts, own => Assert.All(own, count => Assert.Equal(200, count)));
    }

    [Fact]
    public void An_exception_reaches_the_caller_and_the_team_survives()
    {
        using ThreadTeam team = new(3);
        for (int round = 0; round < 50; round++)
        {
            int bad = round % 20;
            FailingJob failing = new() { Bad = bad };
            Assert.Equal($"item {bad}", Assert.Throws<InvalidOperationException>(() => team.Run(ref failing, 20)).Message);
        }
        int[] counts = new int[20];
        fixed (int* cells = counts)
        {
            CountJob job = new() { Counts = cells };
            team.Run(ref job, 20);
        }
        Assert.All(counts, count => Assert.Equal(1, count));
    }

    [Fact]
    public void Disposal_ends_the_threads_and_jobs_still_run()
    {
        ThreadTeam team = new(4);
        Assert.Equal(3, team.LivingWorkerCount);
        team.Dispose();
        team.Dispose();
        Assert.Equal(0, team.LivingWorkerCount);
        int[] counts = new int[9];
        fixed (int* cells = counts)
        {
            CountJob job = new() { Counts = cells };
            team.Run(ref job, 9);
        }
        Assert.All(counts, count => Assert.Equal(1, count));
    }

    [Fact]
    public void Parked_workers_wake_for_the_next_job()
    {
        using ThreadTeam team = new(2);
        for (int round = 0; round < 5; round++)
        {
            Thread.Sleep(30);
            // Two items that wait for each other: both threads must take part.
            using Barrier both = new(2);
            MeetingJob.Barrier = both;
            MeetingJob job = default;
            team.Run(ref job, 2);
        }
    }

    [Fact]
    public void Running_a_job_allocates_nothing()
    {
        using ThreadTeam team = new(3);
        int[] counts = new int[64];
        fixed (int* cells = counts)
        {
            CountJob job = new() { Counts = cells };
            team.Run(ref job, 64);
            long before = GC.GetTotalAllocatedBytes(precise: true);
            for (int round = 0; round < 1000; round++) team.Run(ref job, 64);
            // The test runner's own threads may allocate a little meanwhile; one object a run would be 24,000.
            Assert.InRange(GC.GetTotalAllocatedBytes(precise: true) - before, 0, 12_000);
        }
    }

    [Fact]
    public void Fewer_than_one_thread_is_refused() => Assert.Throws<ArgumentOutOfRangeException>(() => new ThreadTeam(0));

    private struct CountJob : IParallelJob
    {
        public int* Counts;

        public readonly void Run(int item) => Interlocked.Increment(ref Counts[item]);
    }

    private struct NestedJob : IParallelJob
    {
        public static ThreadTeam? Team;
        public int* Counts;

        public readonly void Run(int item)
        {
            CountJob inner = new() { Counts = Counts };
            Team!.Run(ref inner, 50);
        }
    }

    private struct FailingJob : IParallelJob
    {
        public int Bad;

        public readonly void Run(int item)
        {
            if (item == Bad) throw new InvalidOperationException($"item {item}");
        }
    }

    private struct MeetingJob : IParallelJob
    {
        public static Barrier? Barrier;

        public readonly void Run(int item) => Assert.True(Barrier!.SignalAndWait(TimeSpan.FromSeconds(20)), "the other thread never came");
    }
}
