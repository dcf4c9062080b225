namespace DistTrain.Collectives.Tests;

/// <summary>Fitted costs survive being written and read, and a bad file is named with what is wrong in it.</summary>
public sealed class AlgorithmCostFileTests : IDisposable
{
    private readonly string _path = Path.GetTempFileName();

    [Fact]
    public void What_is_saved_is_loaded_with_every_bit()
    {
        Dictionary<AllReduceAlgorithm, LinkCost> costs = Enum.GetValues<AllReduceAlgorithm>().ToDictionary(a => a, a => new LinkCost(1e-6 / 3 * (1 + (int)a), 2e-10 / 7, 0.1 / 3));
        new AlgorithmChooser(costs, new LinkCost(5e-324, 0)).Save(_path);

        AlgorithmChooser loaded = AlgorithmChooser.Load(_path);

        Assert.Equal(costs.OrderBy(c => c.Key).Select(c => (c.Key, c.Value)), loaded.Costs);
        Assert.Equal(new LinkCost(5e-324, 0), loaded.Own);
    }

    [Fact]
    public void A_chooser_of_the_transports_own_way_alone_always_chooses_that()
    {
        new AlgorithmChooser(new Dictionary<AllReduceAlgorithm, LinkCost>(), new LinkCost(1, 1)).Save(_path);

        Assert.Null(AlgorithmChooser.Load(_path).Choose(8, 1e6));
    }

    [Theory]
    [InlineData("", "no JSON")]
    [InlineData("{\"format\":", "no JSON")]
    [InlineData("[]", "expected a JSON object")]
    [InlineData("{}", "format is missing, expected \"disttrain-allreduce-costs\"")]
    [InlineData("{\"format\":\"x\"}", "format is \"x\"")]
    [InlineData("{\"format\":\"disttrain-allreduce-costs\",\"version\":2}", "version 2 is not known, expected 1")]
    [InlineData("{\"format\":\"disttrain-allreduce-costs\",\"version\":1}", "costs is missing")]
    [InlineData("{\"format\":\"disttrain-allreduce-costs\",\"version\":1,\"costs\":[]}", "costs is []")]
    [InlineData("{\"format\":\"disttrain-allreduce-costs\",\"version\":1,\"costs\":[3]}", "costs[0] is 3")]
    [InlineData("{\"format\":\"disttrain-allreduce-costs\",\"version\":1,\"costs\":[{\"algorithm\":\"star\",\"alpha\":1,\"beta\":1,\"gamma\":0}]}",
        "costs[0].algorithm is \"star\", expected own, ring, direct, recursive-doubling, tree, double-tree")]
    [InlineData("{\"format\":\"disttrain-allreduce-costs\",\"version\":1,\"costs\":[{\"algorithm\":\"ring\",\"alpha\":-1,\"beta\":1,\"gamma\":0}]}", "costs[0].alpha is -1, expected seconds, from 0 on")]
    [InlineData("{\"format\":\"disttrain-allreduce-costs\",\"version\":1,\"costs\":[{\"algorithm\":\"ring\",\"alpha\":1,\"beta\":1e999,\"gamma\":0}]}", "costs[0].beta is 1e999")]
    [InlineData("{\"format\":\"disttrain-allreduce-costs\",\"version\":1,\"costs\":[{\"algorithm\":\"ring\",\"alpha\":1,\"beta\":1}]}", "costs[0].gamma is missing")]
    [InlineData("{\"format\":\"disttrain-allreduce-costs\",\"version\":1,\"costs\":[{\"algorithm\":\"own\",\"alpha\":1,\"beta\":1,\"gamma\":0},{\"algorithm\":\"own\",\"alpha\":1,\"beta\":1,\"gamma\":0}]}",
        "costs[1] is a second entry for own")]
    public void A_bad_file_is_an_error_that_names_the_file_and_what_is_wrong(string text, string expected)
    {
        File.WriteAllText(_path, text);

        FormatException error = Assert.Throws<FormatException>(() => AlgorithmChooser.Load(_path));

        Assert.StartsWith(_path, error.Message, StringComparison.Ordinal);
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_too_large_or_not_there_is_refused()
    {
        File.WriteAllText(_path, new string(' ', 100_000));
        Assert.Contains("at most 65,536", Assert.Throws<FormatException>(() => AlgorithmChooser.Load(_path)).Message, StringComparison.Ordinal);
        Assert.Throws<FileNotFoundException>(() => AlgorithmChooser.Load(_path + ".not"));
    }

    [Fact]
    public void A_cost_below_zero_or_no_number_is_refused_when_a_chooser_is_made()
    {
        Assert.Throws<ArgumentException>(() => new AlgorithmChooser(new Dictionary<AllReduceAlgorithm, LinkCost> { [AllReduceAlgorithm.Ring] = new(double.NaN, 0) }));
        Assert.Throws<ArgumentException>(() => new AlgorithmChooser(new Dictionary<AllReduceAlgorithm, LinkCost>(), new LinkCost(0, -1)));
    }

    [Fact]
    public void The_transports_own_way_is_chosen_where_it_is_predicted_to_be_fastest()
    {
        AlgorithmChooser chooser = new(new Dictionary<AllReduceAlgorithm, LinkCost> { [AllReduceAlgorithm.RecursiveDoubling] = new(1e-6, 1e-9) }, new LinkCost(5e-6, 1e-10));

        Assert.Equal(AllReduceAlgorithm.RecursiveDoubling, chooser.Choose(4, 100));
        Assert.Null(chooser.Choose(4, 1e7));
    }

    [Fact]
    public void A_fit_whose_best_line_would_start_below_zero_gives_the_best_line_through_zero()
    {
        LinkCost fitted = AlgorithmChooser.Fit(AllReduceAlgorithm.RecursiveDoubling, 2, [(1000, 1e-6), (2000, 3e-6)]);

        Assert.Equal(0, fitted.Alpha);
        // Least squares of relative errors of beta alone: (1e9 + 2e9/3) / (1e18 + 4e18/9).
        Assert.Equal((1 + (2.0 / 3)) / (1 + (4.0 / 9)) * 1e-9, fitted.Beta, 15);
    }

    public void Dispose() => File.Delete(_path);
}
