namespace DistTrain.Collectives.Tests;

/// <summary>Nodes that come, go, die and come back, each with a thread and, over TCP, a connection of its own.</summary>
public sealed class ElasticMembershipTests : IDisposable
{
    private static readonly TimeSpan s_long = TimeSpan.FromSeconds(30);
    private readonly TcpStoreRig _rig = new();
    private readonly List<ElasticMembership> _nodes = [];

    public void Dispose()
    {
        _nodes.ForEach(node => node.Dispose());
        _rig.Dispose();
    }

    [Fact]
    public void A_round_begins_at_once_when_no_more_nodes_fit()
    {
        MembershipRound[] rounds = JoinAll([Open("a", 2, 2, slots: 4), Open("b", 2, 2, slots: 3)]);
        CheckThatRanksAreDense(rounds, 7);
        Assert.Equal(1, rounds[0].Number);
        Assert.Equal(["host-a", "host-b"], rounds[0].Nodes.Select(node => node.Address).Order());
    }

    [Fact]
    public void With_room_left_it_begins_after_the_last_call()
    {
        MembershipRound[] rounds = JoinAll([Open("a", 3, 5), Open("b", 3, 5), Open("c", 3, 5)]);
        CheckThatRanksAreDense(rounds, 3);
    }

    [Fact]
    public void Too_few_nodes_are_an_error_that_says_who_is_there()
    {
        ElasticMembership alone = Open("a", 2, 2);
        var failure = Assert.Throws<RendezvousTimeoutException>(() => alone.Join(TimeSpan.FromMilliseconds(200)));
        Assert.EndsWith("no round began with node 'a' within 0.2 s; round 1 has 1 of at least 2 nodes: a; has not come back: none", failure.Message, StringComparison.Ordinal);
        using var source = new CancellationTokenSource(50);
        Assert.ThrowsAny<OperationCanceledException>(() => alone.Join(s_long, source.Token));
        // It has withdrawn: the next two make a group of two, not three.
        CheckThatRanksAreDense(JoinAll([Open("b", 2, 2), Open("c", 2, 2)]), 2);
    }

    [Fact]
    public void A_node_that_joins_later_makes_a_new_round_in_which_the_others_keep_their_order()
    {
        ElasticMembership[] nodes = [Open("a", 2, 3), Open("b", 2, 3)];
        MembershipRound[] rounds = JoinAll(nodes);
        ElasticMembership late = Open("c", 2, 3);
        MembershipRound? joined = null;
        var thread = new Thread(() => joined = late.Join(s_long));
        thread.Start();
        TcpStoreRig.WaitUntil(() => nodes.Zip(rounds).All(pair => pair.First.IsOver(pair.Second)));
        MembershipRound[] next = JoinAll(nodes);
        thread.Join();
        CheckThatRanksAreDense([.. next, joined!], 3);
        Assert.Equal(rounds[0].Nodes.Append(late.Node), next[0].Nodes);
        Assert.Equal((2, 0), (next[0].Number, next[0].FailureCount));
        Assert.False(nodes[0].IsOver(next[0]));
    }

    [Fact]
    public void A_node_that_dies_is_missed_by_its_beats_and_the_others_go_on_without_it()
    {
        ElasticMembership[] nodes = [Open("a", 2, 3), Open("b", 2, 3), Open("c", 2, 3)];
        MembershipRound[] rounds = JoinAll(nodes);
        // Its thread ends and it says nothing more, as if killed.
        nodes[1].Dispose();
        ElasticMembership[] left = [nodes[0], nodes[2]];
        TcpStoreRig.WaitUntil(() => left[0].IsOver(rounds[0]) && left[1].IsOver(rounds[2]));
        MembershipRound[] next = JoinAll(left);
        CheckThatRanksAreDense(next, 2);
        Assert.Equal((2, 1), (next[0].Number, next[0].FailureCount));
        Assert.Equal(rounds[0].Nodes.Where(node => node.Id != "b"), next[0].Nodes);
    }

    [Fact]
    public void A_node_that_dies_while_others_gather_does_not_hold_them_up()
    {
        ElasticMembership[] nodes = [Open("a", 2, 3), Open("b", 2, 3), Open("c", 2, 3)];
        MembershipRound[] rounds = JoinAll(nodes);
        nodes[0].RequestRound(rounds[0], hasFailed: true);
        nodes[2].Dispose();
        MembershipRound[] next = JoinAll(nodes[..2]);
        CheckThatRanksAreDense(next, 2);
        Assert.Equal(2, next[0].FailureCount);
    }

    [Fact]
    public void All_but_one_may_die_at_once()
    {
        ElasticMembership[] nodes = [.. Enumerable.Range(0, 6).Select(i => Open($"{i}", 1, 6, lastCall: 1000))];
        MembershipRound[] rounds = JoinAll(nodes);
        foreach (ElasticMembership node in nodes[1..]) node.Dispose();
        TcpStoreRig.WaitUntil(() => nodes[0].IsOver(rounds[0]));
        MembershipRound alone = nodes[0].Join(s_long);
        Assert.Equal([nodes[0].Node], alone.Nodes);
        Assert.Equal(5, alone.FailureCount);
    }

    [Fact]
    public void Leaving_and_reported_losses_end_the_round_at_once()
    {
        ElasticMembership[] nodes = [.. "abc".Select(id => Open($"{id}", 1, 3, lastCall: 1000))];
        MembershipRound[] rounds = JoinAll(nodes);
        nodes[2].Leave();
        MembershipRound[] next = JoinAll(nodes[..2]);
        Assert.Equal((2, 0), (next[0].Number, next[0].FailureCount));
        nodes[0].ReportLoss(rounds[0], rounds[1].NodeRank);
        Assert.False(nodes[0].IsOver(next[0]));
        nodes[0].ReportLoss(next[0], next[1].NodeRank);
        MembershipRound alone = nodes[0].Join(s_long);
        Assert.Equal((3, 1, 1), (alone.Number, alone.FailureCount, alone.WorldSize));
        Assert.Throws<ObjectDisposedException>(() => nodes[2].Join(s_long));
    }

    [Fact]
    public void A_full_group_lets_one_in_when_another_leaves()
    {
        ElasticMembership[] nodes = [Open("a", 2, 2), Open("b", 2, 2)];
        JoinAll(nodes);
        ElasticMembership spare = Open("c", 2, 2);
        var failure = Assert.Throws<RendezvousTimeoutException>(() => spare.Join(TimeSpan.FromMilliseconds(100)));
        Assert.EndsWith("round 1 runs with all of the 2 nodes that it takes: a, b", failure.Message.Replace("b, a", "a, b", StringComparison.Ordinal), StringComparison.Ordinal);
        MembershipRound? joined = null;
        var thread = new Thread(() => joined = spare.Join(s_long));
        thread.Start();
        nodes[0].Leave();
        MembershipRound next = nodes[1].Join(s_long);
        thread.Join();
        CheckThatRanksAreDense([next, joined!], 2);
    }

    [Fact]
    public void An_ended_group_takes_nobody_and_other_numbers_of_nodes_are_refused()
    {
        ElasticMembership node = Open("a", 1, 2);
        MembershipRound round = node.Join(s_long);
        var failure = Assert.Throws<RendezvousException>(() => Open("b", 1, 3).Join(s_long));
        Assert.EndsWith("has 1 to 2 nodes, this node was started for 1 to 3; start all with the same numbers", failure.Message, StringComparison.Ordinal);
        node.End();
        Assert.EndsWith("the group has ended", Assert.Throws<RendezvousException>(() => Open("c", 1, 2).Join(s_long)).Message, StringComparison.Ordinal);
        Assert.Equal(1, round.WorldSize);
    }

    [Fact]
    public void Two_processes_with_one_id_do_not_fight_for_ever()
    {
        ElasticMembership first = Open("same", 2, 2), second = Open("same", 2, 2);
        Exception? failure = null;
        var thread = new Thread(() => failure = Record.Exception(() => first.Join(s_long)));
        thread.Start();
        TcpStoreRig.WaitUntil(() => _rig.Server.KeyCount >= 2);
        Assert.Throws<RendezvousTimeoutException>(() => second.Join(TimeSpan.FromMilliseconds(500)));
        Assert.True(thread.Join(s_long));
        Assert.EndsWith("another process came as node 'same': each node needs an id of its own", Assert.IsType<RendezvousException>(failure).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_store_that_is_gone_is_an_error_for_who_asks_whether_the_round_is_over()
    {
        ElasticMembership node = Open("a", 1, 1);
        MembershipRound round = node.Join(s_long);
        _rig.Server.Dispose();
        Exception? failure = null;
        TcpStoreRig.WaitUntil(() => (failure = Record.Exception(() => node.IsOver(round))) is not null);
        Assert.IsType<RendezvousException>(failure);
    }

    [Fact]
    public void Nodes_that_keep_failing_and_coming_back_always_agree_on_each_round()
    {
        const int Count = 4, Rounds = 6;
        var seen = new Dictionary<long, List<MembershipRound>>();
        var failures = new List<Exception>();
        ElasticMembership[] nodes = [.. Enumerable.Range(0, Count).Select(i => Open($"{i}", 1, Count))];
        Thread[] threads = [.. nodes.Select((node, index) => new Thread(() =>
        {
            Exception? failure = Record.Exception(() => Run(node, index, Rounds, seen));
            if (failure is not null)
                lock (failures) failures.Add(failure);
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        Assert.Empty(failures);
        foreach (List<MembershipRound> views in seen.Values)
        {
            Assert.InRange(views[0].Nodes.Count, 1, Count);
            foreach (MembershipRound view in views) Assert.Equal(views[0].Nodes, view.Nodes);
            Assert.Equal(views.Count, views.Select(view => view.NodeRank).Distinct().Count());
        }
    }

    private static void Run(ElasticMembership node, int index, int rounds, Dictionary<long, List<MembershipRound>> seen)
    {
        var random = new Random(index);
        for (long number = 0; number < rounds;)
        {
            MembershipRound round = node.Join(s_long);
            number = round.Number;
            lock (seen)
            {
                if (!seen.TryGetValue(number, out List<MembershipRound>? views)) seen.Add(number, views = []);
                views.Add(round);
            }
            Thread.Sleep(random.Next(20));
            if (number < rounds && random.Next(2) == 0) node.RequestRound(round, hasFailed: true);
            while (number < rounds && !node.IsOver(round)) Thread.Sleep(2);
        }
        node.Leave();
    }

    private static void CheckThatRanksAreDense(MembershipRound[] rounds, int worldSize)
    {
        MembershipRound[] ordered = [.. rounds.OrderBy(round => round.NodeRank)];
        Assert.Equal(Enumerable.Range(0, rounds.Length), ordered.Select(round => round.NodeRank));
        int next = 0;
        foreach (MembershipRound round in ordered)
        {
            Assert.Equal((next, worldSize, rounds[0].Number), (round.FirstRank, round.WorldSize, round.Number));
            Assert.Equal(rounds[0].Nodes, round.Nodes);
            next += round.Nodes[round.NodeRank].SlotCount;
        }
        Assert.Equal(worldSize, next);
    }

    private ElasticMembership Open(string id, int min, int max, int slots = 1, int lastCall = 300)
    {
        var options = new ElasticMembershipOptions
        {
            MinNodeCount = min, MaxNodeCount = max, LastCall = TimeSpan.FromMilliseconds(lastCall), BeatInterval = TimeSpan.FromMilliseconds(20), BeatTimeout = TimeSpan.FromSeconds(1),
        };
        var client = _rig.Join(options: new TcpStoreClientOptions { RequestTimeout = TimeSpan.FromSeconds(1) });
        var node = new ElasticMembership(client, "group", new MembershipNode(id, slots, $"host-{id}"), options);
        _nodes.Add(node);
        return node;
    }

    private static MembershipRound[] JoinAll(ElasticMembership[] nodes)
    {
        var rounds = new MembershipRound[nodes.Length];
        var failures = new Exception?[nodes.Length];
        Thread[] threads = [.. nodes.Select((node, i) => new Thread(() => failures[i] = Record.Exception(() => rounds[i] = node.Join(s_long))))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        Assert.All(failures, Assert.Null);
        return rounds;
    }
}
