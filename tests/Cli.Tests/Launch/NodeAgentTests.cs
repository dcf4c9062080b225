using System.Collections.Concurrent;
using DistTrain.Collectives;

namespace DistTrain.Cli.Tests;

/// <summary>Several nodes' launchers as threads over one store; what they would run is a script of the test.</summary>
public sealed class NodeAgentTests : IDisposable
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(30);
    private readonly InProcessStore _store = new();
    private readonly ConcurrentQueue<string> _said = new();
    private readonly JobSecret _secret = JobSecret.Create();

    public void Dispose() => _store.Dispose();

    [Fact]
    public void Nodes_that_all_end_well_return_0_and_had_one_world()
    {
        ConcurrentBag<RankPlacement> placements = [];

        int[] codes = RunAll(2, 2, maxRestarts: 0, nodeCount: 2, (node, placement, isOver) =>
        {
            placements.Add(placement);
            Thread.Sleep(node * 300);
            return Good();
        });

        Assert.Equal([0, 0], codes);
        RankPlacement[] both = [.. placements.OrderBy(placement => placement.NodeRank)];
        Assert.Equal([(0, 0, 6, 2), (1, 3, 6, 2)], both.Select(placement => (placement.NodeRank, placement.FirstRank, placement.WorldSize, placement.NodeCount)));
        Assert.Equal((both[0].MasterAddress, both[0].MasterPort, both[0].Secret), (both[1].MasterAddress, both[1].MasterPort, both[1].Secret));
        Assert.NotEqual(both[0].Rendezvous, both[1].Rendezvous);
    }

    [Fact]
    public void A_failing_rank_on_one_node_starts_the_ranks_of_all_again_with_another_secret()
    {
        ConcurrentBag<RankPlacement> placements = [];

        int[] codes = RunAll(2, 2, maxRestarts: 2, nodeCount: 2, (node, placement, isOver) =>
        {
            placements.Add(placement);
            if (placement.Generation == 2) return Good();
            return node == 1 ? Bad(placement.FirstRank + 1, 9) : UntilOver(isOver);
        });

        Assert.Equal([0, 0], codes);
        Assert.Equal([0, 0, 1, 1, 2, 2], placements.Select(placement => placement.Generation).Order());
        Assert.Equal(3, placements.Select(placement => placement.Secret).Distinct().Count());
        Assert.Contains(_said, line => line.StartsWith("round 3: 2 node(s), 6 ranks", StringComparison.Ordinal) && line.Contains("failures 2 of at most 2 (rank ", StringComparison.Ordinal) && line.EndsWith("failed: exit code 9)", StringComparison.Ordinal));
    }

    [Fact]
    public void Wrong_usage_ends_the_job_on_all_nodes_whatever_restarts_are_left()
    {
        int starts = 0;
        int[] codes = RunAll(2, 2, maxRestarts: 5, nodeCount: 2, (node, placement, isOver) =>
        {
            Interlocked.Increment(ref starts);
            return node == 1 ? Bad(placement.FirstRank, 2) : UntilOver(isOver);
        });

        Assert.Equal([2, 2], codes);
        // The other node may hear that the job is over before it has started anything.
        Assert.InRange(starts, 1, 2);
        Assert.Equal(2, _said.Count(line => line.EndsWith("failed: exit code 2; that means wrong usage: it would not help to start again", StringComparison.Ordinal)));
    }

    [Fact]
    public void When_the_restarts_are_used_up_all_nodes_return_the_failing_ranks_code_and_say_which_it_was()
    {
        int[] codes = RunAll(2, 2, maxRestarts: 1, nodeCount: 2, (node, placement, isOver) => node == 0 ? Bad(placement.FirstRank, 33) : UntilOver(isOver));

        Assert.Equal([33, 33], codes);
        Assert.Equal(2, _said.Count(line => line.EndsWith("failed: exit code 33; all 1 restarts are used up", StringComparison.Ordinal)));
    }

    [Fact]
    public void When_a_node_leaves_an_elastic_group_the_others_go_on_with_a_smaller_world()
    {
        ConcurrentBag<RankPlacement> placements = [];
        using CancellationTokenSource left = new();
        int signal = 0;

        int[] codes = RunAll(1, 2, maxRestarts: 0, nodeCount: 2, (node, placement, isOver) =>
        {
            placements.Add(placement);
            if (placement.NodeCount == 1) return Good();
            if (node == 0) return UntilOver(isOver);
            // SIGTERM came to this node's launcher, and its ranks wrote a checkpoint.
            signal = 15;
            left.Cancel();
            return Bad(placement.FirstRank, ExitCode.Retryable);
        }, new NodeStop(() => signal, () => false, left.Token));

        Assert.Equal([0, 75], codes);
        Assert.Equal([(2, 6), (2, 6), (1, 3)], placements.OrderBy(placement => placement.Generation).Select(placement => (placement.NodeCount, placement.WorldSize)));
    }

    [Fact]
    public void A_node_that_joins_an_elastic_group_makes_the_world_larger()
    {
        ConcurrentBag<RankPlacement> placements = [];
        using ManualResetEventSlim isRunning = new();

        int[] codes = RunAll(1, 2, maxRestarts: 0, nodeCount: 2, (node, placement, isOver) =>
        {
            placements.Add(placement);
            isRunning.Set();
            return placement.NodeCount == 2 ? Good() : UntilOver(isOver);
        }, lateStart: isRunning);

        Assert.Equal([0, 0], codes);
        Assert.Equal([3, 6, 6], placements.Select(placement => placement.WorldSize).Order());
    }

    [Fact]
    public void Too_few_nodes_end_with_an_error_that_says_who_is_there()
    {
        using ElasticMembership membership = Membership("alone", 2, 2);
        NodeAgent agent = new(Options(2, 2, 0), _secret, _store, membership, (_, _) => Good(), NeverStopped(), _said.Enqueue) { JoinTimeout = TimeSpan.FromMilliseconds(300) };

        Assert.Contains("1 of at least 2 nodes: alone", Assert.Throws<RendezvousTimeoutException>(() => agent.Run()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Without_the_store_a_node_stops_its_ranks_and_says_that_it_is_gone()
    {
        bool wasTold = false;
        using ElasticMembership membership = Membership("one", 1, 1);
        NodeAgent agent = new(Options(1, 1, 0), _secret, _store, membership, (_, isOver) =>
        {
            _store.Dispose();
            GroupResult result = UntilOver(isOver);
            wasTold = true;
            return result;
        }, NeverStopped(), _said.Enqueue);

        Assert.Throws<RendezvousException>(() => agent.Run());
        Assert.True(wasTold);
    }

    private static GroupResult Good() => new(null, IsComplete: true);

    private static GroupResult Bad(int rank, int code) => new(new RankExit(rank, 1, code, 0), IsComplete: false);

    private static GroupResult UntilOver(Func<bool> isOver)
    {
        Assert.True(SpinWait.SpinUntil(isOver, s_limit), "the round did not end");
        return new GroupResult(null, IsComplete: false);
    }

    private static NodeStop NeverStopped() => new(() => 0, () => false, CancellationToken.None);

    private static LaunchOptions Options(int least, int most, int maxRestarts) =>
        new() { Command = ["true"], ProcessesPerNode = 3, MinNodes = least, MaxNodes = most, MaxRestarts = maxRestarts, RunId = "test" };

    private ElasticMembership Membership(string name, int least, int most) => new(_store, "nodes", new MembershipNode(name, 3, "127.0.0.1"), new ElasticMembershipOptions
    {
        MinNodeCount = least, MaxNodeCount = most, LastCall = TimeSpan.FromMilliseconds(400), BeatInterval = TimeSpan.FromMilliseconds(50), BeatTimeout = TimeSpan.FromSeconds(20),
    });

    private int[] RunAll(
        int least, int most, int maxRestarts, int nodeCount, Func<int, RankPlacement, Func<bool>, GroupResult> run, NodeStop? stopOfLast = null, ManualResetEventSlim? lateStart = null)
    {
        int[] codes = new int[nodeCount];
        Exception? failure = null;
        Thread[] threads = [.. Enumerable.Range(0, nodeCount).Select(node => new Thread(() =>
        {
            try
            {
                if (node > 0) lateStart?.Wait(s_limit);
                using ElasticMembership membership = Membership($"node{node}", least, most);
                NodeStop stop = node == nodeCount - 1 && stopOfLast is not null ? stopOfLast : NeverStopped();
                codes[node] = new NodeAgent(Options(least, most, maxRestarts), _secret, _store, membership, (placement, isOver) => run(node, placement, isOver), stop, _said.Enqueue) { JoinTimeout = s_limit }.Run();
            }
            catch (Exception problem) when (problem is not OutOfMemoryException)
            {
                failure = problem;
            }
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) Assert.True(thread.Join(s_limit), "a node did not end");
        Assert.Null(failure);
        return codes;
    }
}
