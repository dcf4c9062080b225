using System.Numerics;
using CsCheck;

namespace DistTrain.Collectives.Tests;

/// <summary>Every plan is proved on symbols for many numbers of ranks: each rank's part exactly once, the same order everywhere.</summary>
public sealed class AllReducePlanTests
{
    private static readonly Dictionary<string, Func<int, AllReducePlan>> s_plans = new()
    {
        ["ring"] = RingPlan.Create,
        ["direct"] = DirectPlan.Create,
        ["recursive doubling"] = RecursiveDoublingPlan.Create,
        ["tree"] = FixedTree.CreatePlan,
        ["double tree"] = worldSize => DoubleBinaryTreePlan.Create(worldSize),
        ["double tree in 4 chunks"] = worldSize => DoubleBinaryTreePlan.Create(worldSize, 4),
    };

    public static TheoryData<string> Names => [.. s_plans.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_plan_adds_each_ranks_part_once_in_one_order_on_all_ranks(string name)
    {
        for (int worldSize = 1; worldSize <= 64; worldSize++)
            Assert.Equal(s_plans[name](worldSize).ChunkCount, AllReducePlanValidator.Validate(s_plans[name](worldSize)).Length);
    }

    [Fact]
    public void The_ring_of_four_is_the_textbook_one()
    {
        Assert.Equal("""
            ring, 4 ranks, 4 chunks
            step 0: 0->1 [0..1) add, 1->2 [1..2) add, 2->3 [2..3) add, 3->0 [3..4) add
            step 1: 0->1 [3..4) add, 1->2 [0..1) add, 2->3 [1..2) add, 3->0 [2..3) add
            step 2: 0->1 [2..3) add, 1->2 [3..4) add, 2->3 [0..1) add, 3->0 [1..2) add
            step 3: 0->1 [1..2) copy, 1->2 [2..3) copy, 2->3 [3..4) copy, 3->0 [0..1) copy
            step 4: 0->1 [0..1) copy, 1->2 [1..2) copy, 2->3 [2..3) copy, 3->0 [3..4) copy
            step 5: 0->1 [3..4) copy, 1->2 [0..1) copy, 2->3 [1..2) copy, 3->0 [2..3) copy

            """.ReplaceLineEndings(), RingPlan.Create(4).Format());
        Assert.Equal("(((0 1) 2) 3)", AllReducePlanValidator.Validate(RingPlan.Create(4))[0]);
    }

    [Fact]
    public void In_a_ring_each_rank_sends_and_receives_one_chunk_a_step_and_all_but_one_chunk_twice_in_all()
    {
        Gen.Int[2, 64].Sample(worldSize =>
        {
            AllReducePlan plan = RingPlan.Create(worldSize);
            Assert.Equal(2 * (worldSize - 1), plan.StepCount);
            for (int rank = 0; rank < worldSize; rank++)
            {
                for (int step = 0; step < plan.StepCount; step++)
                {
                    Transfer[] own = [.. plan.OfRank(step, rank)];
                    Assert.Equal(RingPlan.ChunkSent(rank, worldSize, step), Assert.Single(own, t => t.From == rank).FirstChunk);
                    Assert.Equal(RingPlan.ChunkReceived(rank, worldSize, step), Assert.Single(own, t => t.To == rank).FirstChunk);
                }
                Assert.Equal(RingPlan.ChunkOwned(rank, worldSize), RingPlan.ChunkReceived(rank, worldSize, worldSize - 2));
            }
        }, iter: 30);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(2, 1)]
    [InlineData(3, 3)]
    [InlineData(8, 3)]
    [InlineData(13, 5)]
    public void Recursive_doubling_takes_a_step_a_bit_and_two_more_beyond_a_power_of_two(int worldSize, int steps) => Assert.Equal(steps, RecursiveDoublingPlan.Create(worldSize).StepCount);

    [Theory]
    [InlineData(2, "(0 1)")]
    [InlineData(3, "((0 1) 2)")]
    [InlineData(4, "((0 1) (2 3))")]
    [InlineData(6, "(((0 1) (2 3)) (4 5))")]
    [InlineData(8, "(((0 1) (2 3)) ((4 5) (6 7)))")]
    public void The_tree_plan_adds_in_the_fixed_order(int worldSize, string order)
    {
        Assert.Equal(order, AllReducePlanValidator.Validate(FixedTree.CreatePlan(worldSize))[0]);
        Assert.Equal(order, FixedTree.Reduce(0, worldSize, i => $"{i}", (left, right) => $"({left} {right})"));
    }

    [Fact]
    public void The_double_tree_of_four_has_each_rank_inside_one_tree_and_adds_over_neighbours()
    {
        Assert.Equal("""
            double tree, 4 ranks, 2 chunks
            step 0: 0->1 [0..1) add, 3->2 [1..2) add
            step 1: 2->1 [0..1) add, 1->2 [1..2) add
            step 2: 1->3 [0..1) add, 2->0 [1..2) add
            """.ReplaceLineEndings(), string.Join(Environment.NewLine, DoubleBinaryTreePlan.Create(4).Format().Split(Environment.NewLine)[..4]));
        Assert.Equal(["(((0 1) 2) 3)", "(((3 2) 1) 0)"], AllReducePlanValidator.Validate(DoubleBinaryTreePlan.Create(4)));
    }

    [Fact]
    public void In_the_double_tree_a_rank_is_an_inner_node_of_one_tree_at_most_and_both_are_as_low_as_can_be()
    {
        for (int worldSize = 1; worldSize <= 300; worldSize++)
        {
            int[] first = DoubleBinaryTreePlan.Parents(worldSize, 0), second = DoubleBinaryTreePlan.Parents(worldSize, 1);
            Assert.Empty(first.Where(rank => rank >= 0).Intersect(second.Where(rank => rank >= 0)));
            foreach (int[] parents in (int[][])[first, second])
            {
                Assert.Single(parents, -1);
                Assert.All(parents.Where(rank => rank >= 0).CountBy(rank => rank), children => Assert.InRange(children.Value, 1, 2));
                Assert.Equal(BitOperations.Log2((uint)worldSize), Enumerable.Range(0, worldSize).Max(rank => Depth(parents, rank)));
            }
        }

        static int Depth(int[] parents, int rank) => parents[rank] < 0 ? 0 : 1 + Depth(parents, parents[rank]);
    }

    [Fact]
    public void In_every_step_of_the_double_tree_a_rank_sends_one_message_at_most_and_receives_one_at_most()
    {
        Gen.Select(Gen.Int[1, 64], Gen.Int[1, 9]).Sample((worldSize, chunksPerTree) =>
        {
            AllReducePlan plan = DoubleBinaryTreePlan.Create(worldSize, chunksPerTree);
            Assert.InRange(plan.StepCount, 0, 2 * DoubleBinaryTreePlan.MostSteps(worldSize, chunksPerTree));
            Assert.Equal(2 * chunksPerTree, AllReducePlanValidator.Validate(plan).Length);
            for (int step = 0; step < plan.StepCount; step++)
            {
                Transfer[] messages = plan.Step(step).ToArray();
                Assert.Equal(messages.Length, messages.DistinctBy(t => t.From).Count());
                Assert.Equal(messages.Length, messages.DistinctBy(t => t.To).Count());
            }
        }, iter: 60);
    }

    [Theory]
    [InlineData(2, 1e9, 0, 1)]
    [InlineData(3, 0, 0, 1)]
    [InlineData(3, 262_143, 0, 1)]
    [InlineData(3, 262_144, 0, 2)]
    [InlineData(8, 1_000_000, 0, 4)]
    [InlineData(8, 1_000_000, 4096, 64)]
    [InlineData(8, 1e12, 0, 64)]
    public void The_double_tree_is_cut_into_a_power_of_two_chunks(int worldSize, double bytes, int segmentByteCount, int chunks) =>
        Assert.Equal(chunks, DoubleBinaryTreePlan.ChunksPerTree(worldSize, bytes, segmentByteCount));

    [Fact]
    public void Blocks_of_a_power_of_two_parts_added_first_give_the_same_tree()
    {
        static string Tree(int first, int count) => FixedTree.Reduce(first, count, i => $"{i}", (left, right) => $"({left} {right})");
        foreach (int blocks in (int[])[1, 2, 4, 8])
        {
            int size = 8 / blocks;
            Assert.Equal(Tree(0, 8), FixedTree.Reduce(0, blocks, b => Tree(b * size, size), (left, right) => $"({left} {right})"));
        }
    }

    [Fact]
    public void The_validator_finds_what_is_wrong()
    {
        Assert.StartsWith("bad: rank 1 ends chunk 0 with 1, which is not all of 2 ranks", Fails(new Transfer(1, 0, 0, 1, Reduces: true)));
        Assert.Contains("with a part in both", Fails([new Transfer(1, 0, 0, 1, Reduces: true)], [new Transfer(1, 0, 0, 1, Reduces: true)]));
        Assert.Contains("results could differ in their last bits", Fails(new Transfer(1, 0, 0, 1, Reduces: true), new Transfer(0, 1, 0, 1, Reduces: true)));
        Assert.Contains("not a message between two of 2 ranks", Fails(new Transfer(0, 2, 0, 1, Reduces: true)));
    }

    private static string Fails(params Transfer[] step) => Fails([step]);

    private static string Fails(params Transfer[][] steps) =>
        Assert.Throws<InvalidOperationException>(() => AllReducePlanValidator.Validate(new AllReducePlan("bad", 2, 1, steps))).Message;
}
