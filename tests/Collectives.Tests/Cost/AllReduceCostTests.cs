namespace DistTrain.Collectives.Tests;

/// <summary>Predicted times: formulas and the simulation of the plans agree, and the chooser follows them.</summary>
public sealed class AllReduceCostTests
{
    private static readonly LinkCost s_link = new(5e-6, 1e-9, 0.2e-9);

    public static TheoryData<AllReduceAlgorithm> Algorithms => [.. Enum.GetValues<AllReduceAlgorithm>()];

    [Theory]
    [MemberData(nameof(Algorithms))]
    public void The_formula_is_what_the_plan_takes_when_its_messages_are_run_in_time(AllReduceAlgorithm algorithm)
    {
        foreach (int worldSize in (int[])[1, 2, 3, 4, 5, 7, 8, 13, 16, 32])
        {
            foreach (double bytes in (double[])[0, 1000, 1e6, 1e8])
            {
                double formula = AllReduceCost.Seconds(algorithm, worldSize, bytes, s_link), simulated = PlanSimulator.Seconds(Plan(algorithm, worldSize), bytes, s_link);
                Assert.True(Math.Abs(formula - simulated) <= 1e-9 * formula, $"{algorithm}, {worldSize} ranks, {bytes} bytes: {formula} by the formula, {simulated} simulated");
            }
        }
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

    private static AllReducePlan Plan(AllReduceAlgorithm algorithm, int worldSize) => algorithm switch
    {
        AllReduceAlgorithm.Ring => RingPlan.Create(worldSize),
        AllReduceAlgorithm.Direct => DirectPlan.Create(worldSize),
        AllReduceAlgorithm.RecursiveDoubling => RecursiveDoublingPlan.Create(worldSize),
        _ => FixedTree.CreatePlan(worldSize),
    };
}
