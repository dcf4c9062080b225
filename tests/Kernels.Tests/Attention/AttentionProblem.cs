using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

/// <summary>An attention with its expectation in double precision over the whole score matrix, mask by mask.</summary>
internal sealed class AttentionProblem(int batch, int queries, int keys, int heads, int headSize, bool isCausal, float size)
{
    public int Batch => batch;

    public int Heads => heads;

    public int Queries => queries;

    public Shape QueryShape { get; } = new(batch, queries, heads, headSize);

    public Shape KeyShape { get; } = new(batch, keys, heads, headSize);

    public double[] Query { get; } = Draw(batch * queries * heads * headSize, 1, size);

    public double[] Key { get; } = Draw(batch * keys * heads * headSize, 2, size);

    public double[] Value { get; } = Draw(batch * keys * heads * headSize, 3, 1f);

    public double[] DOutput { get; } = Draw(batch * queries * heads * headSize, 4, 1f);

    public int[]? Lengths { get; init; }

    public double Scale { get; init; } = 1 / Math.Sqrt(headSize);

    public AttentionOptions Options => new(isCausal);

    public (double[] Output, double[] LogSumExp) Expected()
    {
        double[] output = new double[Query.Length], lse = new double[batch * heads * queries];
        foreach ((int b, int h, int i) in Rows())
        {
            (double[] probabilities, lse[(((b * heads) + h) * queries) + i]) = Probabilities(b, h, i);
            for (int j = 0; j < keys; j++)
                for (int d = 0; d < headSize; d++)
                    if (probabilities[j] != 0) output[At(queries, b, i, h) + d] += probabilities[j] * Value[At(keys, b, j, h) + d];
        }
        return (output, lse);
    }

    public (double[] Query, double[] Key, double[] Value) ExpectedGradients()
    {
        double[] dQuery = new double[Query.Length], dKey = new double[Key.Length], dValue = new double[Key.Length];
        foreach ((int b, int h, int i) in Rows())
        {
            (double[] probabilities, _) = Probabilities(b, h, i);
            int q = At(queries, b, i, h);
            double[] slopes = [.. Enumerable.Range(0, keys).Select(j => Enumerable.Range(0, headSize).Sum(d => DOutput[q + d] * Value[At(keys, b, j, h) + d]))];
            double mean = probabilities.Zip(slopes, (p, s) => p * s).Sum();
            for (int j = 0; j < keys; j++)
            {
                double dScore = probabilities[j] * (slopes[j] - mean) * Scale;
                for (int d = 0; d < headSize; d++)
                {
                    dQuery[q + d] += dScore * Key[At(keys, b, j, h) + d];
                    dKey[At(keys, b, j, h) + d] += dScore * Query[q + d];
                    dValue[At(keys, b, j, h) + d] += probabilities[j] * DOutput[q + d];
                }
            }
        }
        return (dQuery, dKey, dValue);
    }

    private (double[] Probabilities, double LogSumExp) Probabilities(int b, int h, int i)
    {
        double[] scores = new double[keys];
        for (int j = 0; j < keys; j++)
        {
            bool isSeen = j < (Lengths is null ? keys : Lengths[b]) && (!isCausal || j <= i + keys - queries);
            scores[j] = isSeen ? Scale * Enumerable.Range(0, headSize).Sum(d => Query[At(queries, b, i, h) + d] * Key[At(keys, b, j, h) + d]) : double.NegativeInfinity;
        }
        double largest = scores.Max();
        if (largest == double.NegativeInfinity) return (new double[keys], largest);
        double sum = scores.Sum(score => Math.Exp(score - largest));
        return ([.. scores.Select(score => Math.Exp(score - largest) / sum)], largest + Math.Log(sum));
    }

    private IEnumerable<(int, int, int)> Rows() =>
        from b in Enumerable.Range(0, batch) from h in Enumerable.Range(0, heads) from i in Enumerable.Range(0, queries) select (b, h, i);

    private int At(int positions, int b, int position, int h) => ((((b * positions) + position) * heads) + h) * headSize;

    private static double[] Draw(int count, int seed, float size) => [.. Numbers.Uniform(new Shape(count), seed, size).Select(v => (double)v)];
}
