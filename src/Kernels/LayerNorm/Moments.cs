namespace DistTrain.Kernels;

/// <summary>
/// Count, mean and sum of squared deviations of a set of numbers. Taken in two passes (the second around the first's mean) and merged
/// pairwise (Chan, Golub and LeVeque 1983), so that large means do not cancel. Totals are kept in double, lanes in f32.
/// </summary>
internal struct Moments
{
    public double Count;
    public double Mean;
    public double SquaredDeviations;

    /// <summary>The mean as it is stored.</summary>
    public readonly float RoundedMean => (float)Mean;

    /// <summary>What <see cref="RoundedMean"/> lost.</summary>
    public readonly float MeanRest => (float)(Mean - (float)Mean);

    /// <summary>1 / √(biased variance + epsilon); the variance of nothing is 0.</summary>
    public readonly float InverseStd(float epsilon) => (float)(1 / Math.Sqrt((Count > 0 ? SquaredDeviations / Count : 0) + epsilon));

    /// <summary>From sums of deviations and their squares around a center near the mean.</summary>
    public static Moments FromDeviations(double count, float center, double sum, double squares) => new()
    {
        Count = count,
        Mean = center + (sum / count),
        // Rounding can take this a hair below 0; the absolute value keeps NaN.
        SquaredDeviations = Math.Abs(squares - (sum * sum / count)),
    };

    /// <summary>Of <paramref name="count"/> ≥ 1 contiguous numbers.</summary>
    public static unsafe Moments OfRow<V>(float* x, int count) where V : unmanaged, ISimd<V>
    {
        float center = V.Sum(SumRow<V>(x, count)) / count;
        (V sum, V squares) = DeviationsOfRow<V>(x, count, center);
        return FromDeviations(count, center, V.Sum(sum), V.Sum(squares));
    }

    /// <summary>The sum of a row by lanes, four chains.</summary>
    public static unsafe V SumRow<V>(float* x, int count) where V : unmanaged, ISimd<V>
    {
        V sum0 = V.Zero, sum1 = V.Zero, sum2 = V.Zero, sum3 = V.Zero;
        int i = 0;
        for (; i <= count - (4 * V.Count); i += 4 * V.Count)
        {
            sum0 += V.Load(x + i);
            sum1 += V.Load(x + i + V.Count);
            sum2 += V.Load(x + i + (2 * V.Count));
            sum3 += V.Load(x + i + (3 * V.Count));
        }
        for (; i <= count - V.Count; i += V.Count) sum0 += V.Load(x + i);
        if (i < count) sum1 += V.LoadPartial(x + i, count - i, 0f);
        return sum0 + sum1 + (sum2 + sum3);
    }

    /// <summary>Sums of deviations from a center and of their squares by lanes, two chains.</summary>
    public static unsafe (V Sum, V Squares) DeviationsOfRow<V>(float* x, int count, float center) where V : unmanaged, ISimd<V>
    {
        V middle = V.Broadcast(center), sum0 = V.Zero, sum1 = V.Zero, squares0 = V.Zero, squares1 = V.Zero;
        int i = 0;
        for (; i <= count - (2 * V.Count); i += 2 * V.Count)
        {
            V first = V.Load(x + i) - middle, second = V.Load(x + i + V.Count) - middle;
            sum0 += first;
            sum1 += second;
            squares0 = V.MultiplyAdd(first, first, squares0);
            squares1 = V.MultiplyAdd(second, second, squares1);
        }
        for (; i < count; i += V.Count)
        {
            V rest = (count - i >= V.Count ? V.Load(x + i) : V.LoadPartial(x + i, count - i, center)) - middle;
            sum0 += rest;
            squares0 = V.MultiplyAdd(rest, rest, squares0);
        }
        return (sum0 + sum1, squares0 + squares1);
    }

    /// <summary>Doubles that <see cref="Store"/> writes.</summary>
    public const int FieldCount = 3;

    public readonly unsafe void Store(double* place) => (place[0], place[1], place[2]) = (Count, Mean, SquaredDeviations);

    public static unsafe Moments Load(double* place) => new() { Count = place[0], Mean = place[1], SquaredDeviations = place[2] };

    /// <summary>The moments of both sets together.</summary>
    public static Moments Merge(Moments left, Moments right)
    {
        if (left.Count == 0) return right;
        if (right.Count == 0) return left;
        double count = left.Count + right.Count, difference = right.Mean - left.Mean;
        return new Moments
        {
            Count = count,
            Mean = left.Mean + (difference * right.Count / count),
            SquaredDeviations = left.SquaredDeviations + right.SquaredDeviations + (difference * difference * left.Count * right.Count / count),
        };
    }
}
