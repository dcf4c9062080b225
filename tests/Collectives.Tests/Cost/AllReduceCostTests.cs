namespace DistTrain.Collectives.Tests;

/// <summary>Predicted times: formulas and the simulation of the plans agree, and the chooser follows them.</summary>
public sealed class AllReduceCostTests
{
    private static readonly LinkCost s_link = new(5e-6, 1e-9, 0.2e-9);

    public static TheoryData<AllReduceAlgorithm> Algorithms => [.. Enum.GetValues<AllReduceAlgorithm>()];

    public static TheoryData<AllReduceAlgorithm> ExactAlgorithms => [.. Enum.GetValues<AllReduceAlgorithm>().Where(algorithm => algorithm != AllReduceAlgorithm.DoubleTree)];

    [Theory]
    [MemberData(nameof(ExactAlgorithms))]
    public void The_formula_is_what_the_plan_takes_when_its_messages_are_run_in_time(AllReduceAlgorithm algorithm)
    {
        foreach (int worldSize in (int[])[1, 2, 3, 4, 5, 7, 8, 13, 16, 32])
        {
            foreach (double bytes in (double[])[0, 1000, 1e6, 1e8])
            {
                double formula = AllReduceCost.Seconds(algorithm, worldSize, bytes, s_link), simulated = PlanSimulator.Seconds(Plan(algorithm, worldSize, bytes), bytes, s_link);
                Assert.True(Math.Abs(formula - simulated) <= 1e-9 * formula, $"{algorithm}, {worldSize} ranks, {bytes} bytes: {formula} by the formula, {simulated} simulated");
            }
        }
    }

    [Fact]
    public void The_double_tree_is_never_slower_than_its_formula_and_at_most_three_messages_faster()
    {
        foreach (int worldSize in Enumerable.Range(1, 33))
        {
            foreach (double bytes in (double[])[0, 1000, 1e6, 1e8])
            {
                double formula = AllReduceCost.Seconds(AllReduceAlgorithm.DoubleTree, worldSize, bytes, s_link), simulated = PlanSimulator.Seconds(Plan(AllReduceAlgorithm.DoubleTree, worldSize, bytes), bytes, s_link);
                double message = s_link.OfMessage(bytes / (2 * DoubleBinaryTreePlan.ChunksPerTree(worldSize, bytes)), true);
                Assert.True(simulated <= formula * (1 + 1e-9), $"{worldSize} ranks, {bytes} bytes: {simulated} simulated, {formula} by the formula");
                Assert.True(simulated >= formula - (3 * message) - (1e-9 * formula), $"{worldSize} ranks, {bytes} bytes: {simulated} simulated, {formula} by the formula, {message} a message");
            }
        }
    }

    [Fact]
    public void With_many_ranks_and_much_data_the_double_tree_has_the_rings_bandwidth_at_a_trees_latency()
    {
        double Of(AllReduceAlgorithm algorithm, double bytes) => AllReduceCost.Seconds(algorithm, 1023, bytes, s_link);
        // Few bytes: 36 messages, where the ring has 2044 and the tree 20. Many: nearly twice the data, as the ring, where the tree moves it 20 times.
        Assert.Equal(36 * 5e-6, Of(AllReduceAlgorithm.DoubleTree, 0), 9);
        Assert.Equal(2044 * 5e-6, Of(AllReduceAlgorithm.Ring, 0), 9);
        Assert.InRange(Of(AllReduceAlgorithm.DoubleTree, 1e9) / Of(AllReduceAlgorithm.Ring, 1e9), 1, 1.15);
        Assert.InRange(Of(AllReduceAlgorithm.Tree, 1e9) / Of(AllReduceAlgorithm.DoubleTree, 1e9), 8, 10);
    }

    [Fact]
    public void A_ring_on_65536_ranks_sends_nearly_twice_the_data_and_pays_131070_latencies()
    {
        Assert.Equal(2 * 65535 * 5e-6, AllReduceCost.Seconds(AllReduceAlgorithm.Ring, 65536, 0, s_link), 9);
        Assert.Equal(2 * 1e-9 * 1e9 * 65535 / 65536, AllReduceCost.Seconds(AllReduceAlgorithm.Ring, 65536, 1e9, new LinkCost(0, 1e-9)), 9);
    }

    [Theory]
    [InlineData(2, 1.0)]
    [InlineData(8, 1.75)]
    public void Bus_bandwidth_is_that_of_nccl_tests(int worldSize, double factor)
    {
        Assert.Equal(factor * 1e9, AllReduceCost.BusBandwidth(worldSize, 2e9, 2), 3);
        Assert.Equal(0, AllReduceCost.BusBandwidth(1, 1e9, 1));
    }

    [Fact]
    public void Few_bytes_go_by_few_steps_and_many_by_the_ring()
    {
        AlgorithmChooser chooser = new(new Dictionary<AllReduceAlgorithm, LinkCost> { [AllReduceAlgorithm.Ring] = s_link, [AllReduceAlgorithm.RecursiveDoubling] = s_link });
        Assert.Equal(AllReduceAlgorithm.RecursiveDoubling, chooser.Choose(16, 1000));
        Assert.Equal(AllReduceAlgorithm.Ring, chooser.Choose(16, 1e8));
        Assert.Throws<ArgumentException>(() => new AlgorithmChooser(new Dictionary<AllReduceAlgorithm, LinkCost>()));
    }

    [Theory]
    [MemberData(nameof(Algorithms))]
    public void Fitting_finds_the_costs_that_made_the_times(AllReduceAlgorithm algorithm)
    {
        LinkCost truth = new(3e-6, 2e-10);
        (double, double)[] measured = [.. new double[] { 256, 4096, 65536, 1 << 20, 1 << 26 }.Select(b => (b, AllReduceCost.Seconds(algorithm, 4, b, truth)))];
        LinkCost fitted = AlgorithmChooser.Fit(algorithm, 4, measured);
        Assert.Equal(1, fitted.Alpha / truth.Alpha, 6);
        Assert.Equal(1, fitted.Beta / truth.Beta, 6);
        Assert.Throws<ArgumentException>(() => AlgorithmChooser.Fit(algorithm, 4, [(1, 1), (1, 2)]));
    }

    private static AllReducePlan Plan(AllReduceAlgorithm algorithm, int worldSize, double bytes) => algorithm switch
    {
        AllReduceAlgorithm.Ring => RingPlan.Create(worldSize),
        AllReduceAlgorithm.Direct => DirectPlan.Create(worldSize),
        AllReduceAlgorithm.RecursiveDoubling => RecursiveDoublingPlan.Create(worldSize),
        AllReduceAlgorithm.DoubleTree => DoubleBinaryTreePlan.Create(worldSize, DoubleBinaryTreePlan.ChunksPerTree(worldSize, bytes)),
        _ => FixedTree.CreatePlan(worldSize),
    };
}
