using CsCheck;

namespace DistTrain.Collectives.Tests;

/// <summary>What an elastic group agrees on stays right whatever happens in whatever order.</summary>
public sealed class MembershipStateTests
{
    private static readonly MembershipState s_empty = new() { MinNodeCount = 2, MaxNodeCount = 3 };

    [Fact]
    public void Any_sequence_of_joins_leaves_restarts_and_begins_keeps_ranks_dense_and_the_numbers_of_nodes_in_bounds() =>
        Steps(40).Sample((min, extra, steps) =>
        {
            var state = new MembershipState { MinNodeCount = min, MaxNodeCount = min + extra };
            foreach (Step step in steps)
            {
                MembershipState next = step.Apply(state);
                CheckStep(state, next);
                CheckState(next);
                state = next;
            }
        });

    [Fact]
    public void Actors_that_read_and_later_write_by_compare_exchange_see_the_same_members_in_the_same_round() =>
        Gen.Select(Steps(30), Gen.Int[0, 4].Array[90]).Sample((work, turns) =>
        {
            (int min, int extra, Step[] steps) = work;
            using var store = new InProcessStore();
            var rounds = new Dictionary<long, string>();
            var pending = new Queue<Step>(steps);
            (Step Step, byte[]? Read)?[] actors = new (Step, byte[]?)?[5];
            foreach (int turn in turns)
            {
                if (actors[turn] is not { } actor)
                {
                    if (pending.TryDequeue(out Step? step)) actors[turn] = (step, store.TryGet("state", out byte[]? read) ? read : null);
                    continue;
                }
                MembershipState state = actor.Read is null ? new MembershipState { MinNodeCount = min, MaxNodeCount = min + extra } : MembershipCode.Decode(actor.Read, "test");
                MembershipState next = actor.Step.Apply(state);
                bool isDone = ReferenceEquals(next, state) || store.CompareExchange("state", actor.Read, MembershipCode.Encode(next));
                actors[turn] = isDone ? null : (actor.Step, store.Get("state", TimeSpan.Zero));
                if (!isDone) continue;
                CheckState(next);
                if (next.Phase != MembershipPhase.Running) continue;
                string members = string.Join(' ', next.Entries.Select(entry => $"{entry.Node.Id}:{entry.Node.SlotCount}:{entry.Incarnation}"));
                Assert.Equal(members, rounds.TryAdd(next.Round, members) ? members : rounds[next.Round]);
            }
        });

    [Fact]
    public void A_state_is_the_same_after_it_was_stored() =>
        Steps(25).Sample((min, extra, steps) =>
        {
            var state = new MembershipState { MinNodeCount = min, MaxNodeCount = min + extra };
            foreach (Step step in steps) state = step.Apply(state);
            byte[] code = MembershipCode.Encode(state);
            MembershipState again = MembershipCode.Decode(code, "test");
            Assert.Equal(state.Entries, again.Entries);
            Assert.Equal(state with { Entries = [] }, again with { Entries = [] });
        });

    [Fact]
    public void The_largest_group_fits_into_one_value()
    {
        MembershipState state = new() { MinNodeCount = 1, MaxNodeCount = ElasticMembershipOptions.NodeCountLimit };
        for (int i = 0; i < ElasticMembershipOptions.NodeCountLimit; i++)
            state = state.Join(new MembershipNode($"{i}".PadLeft(MembershipNode.MaxIdByteCount, 'n'), 1, new string('a', MembershipNode.MaxAddressByteCount)), 1);
        Assert.Equal(ElasticMembershipOptions.NodeCountLimit, state.HereCount);
        Assert.InRange(MembershipCode.Encode(state).Length, 50_000, RendezvousLimits.MaxValueByteCount);
    }

    [Fact]
    public void Damaged_states_are_errors_and_nothing_else()
    {
        byte[] good = MembershipCode.Encode(s_empty.Join(Node("a"), 1).Join(Node("b"), 2));
        for (int i = 0; i < good.Length; i++)
        {
            foreach (byte value in new byte[] { 0, 1, 127, 255 })
            {
                byte[] bad = [.. good];
                bad[i] = value;
                if (Record.Exception(() => MembershipCode.Decode(bad, "here")) is { } failure) Assert.StartsWith("here: ", Assert.IsType<RendezvousException>(failure).Message, StringComparison.Ordinal);
            }
            Assert.Throws<RendezvousException>(() => MembershipCode.Decode(good[..i], "here"));
        }
    }

    [Fact]
    public void States_that_no_group_can_come_to_are_errors()
    {
        MembershipState good = s_empty.Join(Node("a"), 1).Join(Node("b"), 2);
        MembershipState[] impossible =
        [
            good with { Entries = [good.Entries[0], good.Entries[0]] }, good with { MinNodeCount = 0 }, good with { MinNodeCount = -1 }, good with { MaxNodeCount = 1 }, good with { MinNodeCount = 3, MaxNodeCount = 2 },
            good with { MaxNodeCount = ElasticMembershipOptions.NodeCountLimit + 1 }, good with { Round = 0 }, good with { Round = -5 }, good with { Change = -1 }, good with { FailureCount = -1 },
        ];
        foreach (MembershipState state in impossible)
            Assert.Equal("here: no state of an elastic group", Assert.Throws<RendezvousException>(() => MembershipCode.Decode(MembershipCode.Encode(state), "here")).Message);
    }

    [Fact]
    public void A_round_needs_the_fewest_nodes_and_all_of_those_it_awaits()
    {
        MembershipState one = s_empty.Join(Node("a"), 1);
        Assert.Same(one, one.Begin());
        MembershipState running = one.Join(Node("b", 4), 2).Begin();
        Assert.Equal(MembershipPhase.Running, running.Phase);
        MembershipRound round = running.RoundOf("b", 2)!;
        Assert.Equal((1, 1, 2, 6), (round.Number, round.NodeRank, round.FirstRank, round.WorldSize));

        MembershipState grown = running.Join(Node("c"), 3);
        Assert.Equal((2, MembershipPhase.Gathering), (grown.Round, grown.Phase));
        MembershipState partly = grown.Join(Node("b", 4), 2);
        Assert.Same(partly, partly.Begin());
        MembershipState all = partly.Join(Node("a"), 1).Begin();
        Assert.Equal(["a", "b", "c"], all.RoundOf("c", 3)!.Nodes.Select(node => node.Id));
        Assert.Equal(0, all.FailureCount);
    }

    [Fact]
    public void A_newcomer_waits_while_the_group_is_full()
    {
        MembershipState full = s_empty.Join(Node("a"), 1).Join(Node("b"), 2).Join(Node("c"), 3).Begin();
        Assert.Same(full, full.Join(Node("d"), 4));
        MembershipState room = full.Leave("b", 2, hasFailed: true);
        Assert.Equal((1, 2), (room.FailureCount, room.Round));
        Assert.Equal(["a", "c", "d"], room.Join(Node("d"), 4).Entries.Select(entry => entry.Node.Id));
    }

    [Fact]
    public void A_node_that_comes_back_before_its_death_was_noticed_counts_as_a_failure()
    {
        MembershipState running = s_empty.Join(Node("a"), 1).Join(Node("b"), 2).Begin();
        MembershipState quick = running.Join(Node("b"), 99);
        Assert.Equal((1, 2, MembershipPhase.Gathering), (quick.FailureCount, quick.Round, quick.Phase));
        // What the dead process may still say has no effect.
        Assert.Same(quick, quick.Leave("b", 2, hasFailed: true));
        Assert.Null(quick.Join(Node("a"), 1).Begin().RoundOf("b", 2));
    }

    [Fact]
    public void A_round_is_ended_once_and_an_ended_group_stays_so()
    {
        MembershipState running = s_empty.Join(Node("a"), 1).Join(Node("b"), 2).Begin();
        MembershipState next = running.Restart(1, hasFailed: true);
        Assert.Same(next, next.Restart(1, hasFailed: true));
        Assert.Same(running, running.Restart(2, hasFailed: true));
        MembershipState ended = running.End();
        Assert.Same(ended, ended.Join(Node("c"), 3));
        Assert.Same(ended, ended.Leave("a", 1, hasFailed: true));
        Assert.Same(ended, ended.End());
    }

    private static MembershipNode Node(string id, int slots = 2) => new(id, slots);

    private static Gen<(int Min, int Extra, Step[] Steps)> Steps(int count) =>
        Gen.Select(Gen.Int[1, 3], Gen.Int[0, 3], Gen.Select(Gen.Int[0, 5], Gen.Int[0, 5], Gen.Int[1, 2], (verb, node, incarnation) => new Step(verb, $"n{node}", (ulong)incarnation)).Array[count]);

    private static void CheckState(MembershipState state)
    {
        Assert.InRange(state.Entries.Count, state.Phase == MembershipPhase.Running ? state.MinNodeCount : 0, state.MaxNodeCount);
        Assert.Equal(state.Entries.Count, state.Entries.Select(entry => entry.Node.Id).Distinct().Count());
        if (state.Phase != MembershipPhase.Running) return;
        int next = 0;
        for (int i = 0; i < state.Entries.Count; i++)
        {
            MembershipRound round = state.RoundOf(state.Entries[i].Node.Id, state.Entries[i].Incarnation)!;
            Assert.Equal((i, next, state.Round), (round.NodeRank, round.FirstRank, round.Number));
            next += round.Nodes[i].SlotCount;
            Assert.Equal(state.Entries.Sum(entry => entry.Node.SlotCount), round.WorldSize);
        }
        Assert.Equal(next, state.Entries.Sum(entry => entry.Node.SlotCount));
    }

    private static void CheckStep(MembershipState before, MembershipState after)
    {
        if (ReferenceEquals(before, after)) return;
        Assert.Equal(before.Change + 1, after.Change);
        Assert.InRange(after.Round, before.Round, before.Round + 1);
        Assert.InRange(after.FailureCount, before.FailureCount, before.FailureCount + 1);
        // A round that has begun never changes: any change makes it the round before.
        if (before.Phase == MembershipPhase.Running && after.Phase != MembershipPhase.Ended) Assert.Equal((before.Round + 1, MembershipPhase.Gathering), (after.Round, after.Phase));
        // Who stays keeps the order.
        string[] stayed = [.. before.Entries.Select(entry => entry.Node.Id).Where(id => after.IndexOf(id) >= 0)];
        Assert.Equal(stayed, after.Entries.Select(entry => entry.Node.Id).Where(id => before.IndexOf(id) >= 0));
    }

    private sealed record Step(int Verb, string Id, ulong Incarnation)
    {
        internal MembershipState Apply(MembershipState state) => Verb switch
        {
            0 or 1 => state.Join(new MembershipNode(Id, 1 + (Id[1] - '0')), Incarnation),
            2 => state.Leave(Id, Incarnation, hasFailed: Incarnation == 1),
            3 => state.Restart(state.Round, hasFailed: Incarnation == 1),
            4 or 5 when Id == "n5" && Incarnation == 2 => state.End(),
            _ => state.Begin(),
        };
    }
}
