using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>Algorithms as options and rows name them.</summary>
public static class AlgorithmNames
{
    /// <summary>The transport's own way.</summary>
    public const string Own = "own";

    /// <summary>The one that the fitted costs pick for each size.</summary>
    public const string Auto = "auto";

    private static readonly Dictionary<string, AllReduceAlgorithm> s_plans = Enum.GetValues<AllReduceAlgorithm>().ToDictionary(Of, algorithm => algorithm);

    /// <summary>All, in the order of help texts.</summary>
    public static IReadOnlyList<string> All { get; } = [Own, .. s_plans.Keys, Auto];

    /// <summary>The name of an algorithm.</summary>
    public static string Of(AllReduceAlgorithm algorithm) => algorithm.Name();

    /// <summary>The algorithm of a name; null for <see cref="Own"/> and <see cref="Auto"/>.</summary>
    public static AllReduceAlgorithm? Parse(string name) => s_plans.TryGetValue(name, out AllReduceAlgorithm algorithm) ? algorithm : null;
}
