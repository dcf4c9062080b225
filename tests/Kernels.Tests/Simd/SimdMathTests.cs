namespace DistTrain.Kernels.Tests;

/// <summary>Holds the error bounds that <see cref="SimdMath"/> states, over dense sweeps against double precision, and its special values, at every width.</summary>
public sealed class SimdMathTests
{
    private const float Infinity = float.PositiveInfinity, NaN = float.NaN;

    [Fact]
    public void Exp_is_within_2_ulp_over_its_whole_range() =>
        AssertWithin(2.0, default(ExpFunction), Math.Exp, Sweep(-87.33653f, 88.72283f));

    [Fact]
    public void Exp_for_softmax_is_within_2_ulp_where_results_are_normal() =>
        AssertWithin(2.0, default(ExpNonPositiveFunction), Math.Exp, Sweep(-87.33653f, 0f));

    [Fact]
    public void Exp_near_zero_is_within_2_ulp() => AssertWithin(2.0, default(ExpFunction), Math.Exp, Tiny(1e-9f, 1f));

    [Fact]
    public void Log_is_within_2_ulp_for_normal_and_subnormal_numbers()
    {
        AssertWithin(2.0, default(LogFunction), Math.Log, Bits(1e-45f, float.MaxValue, 7_919));
        AssertWithin(2.0, default(LogFunction), Math.Log, Sweep(0.5f, 2f));
    }

    [Fact]
    public void Sigmoid_is_within_3_ulp() => AssertWithin(3.0, default(SigmoidFunction), x => 1 / (1 + Math.Exp(-x)), [.. Sweep(-87f, 87f), .. Tiny(1e-9f, 1f)]);

    [Fact]
    public void Tanh_is_within_3_ulp() => AssertWithin(3.0, default(TanhFunction), Math.Tanh, [.. Sweep(-20f, 20f), .. Tiny(1e-30f, 1f)]);

    [Fact]
    public void Special_values_are_exact()
    {
        AssertValues(default(ExpFunction), (0f, 1f), (-0f, 1f), (Infinity, Infinity), (-Infinity, 0f), (NaN, NaN), (88.8f, Infinity), (3e38f, Infinity), (-87.4f, 0f), (-3e38f, 0f));
        AssertValues(default(ExpNonPositiveFunction), (0f, 1f), (-0f, 1f), (-Infinity, 0f), (NaN, NaN), (-88f, 0f), (-103.9f, 0f), (-3e38f, 0f));
        AssertValues(default(LogFunction), (1f, 0f), (0f, -Infinity), (-0f, -Infinity), (-1f, NaN), (-Infinity, NaN), (Infinity, Infinity), (NaN, NaN), (1e-45f, -103.27893f));
        AssertValues(default(SigmoidFunction), (0f, 0.5f), (Infinity, 1f), (-Infinity, 0f), (NaN, NaN), (100f, 1f), (3e38f, 1f), (-3e38f, 0f));
        AssertValues(default(TanhFunction), (0f, 0f), (-0f, -0f), (Infinity, 1f), (-Infinity, -1f), (NaN, NaN), (50f, 1f), (-3e38f, -1f));
    }

    [Fact]
    public void Subnormal_results_of_the_exponential_for_softmax_are_small_and_never_negative() =>
        Assert.All(Apply<Simd128, ExpNonPositiveFunction>(Sweep(-90f, -87.33f)), y => Assert.InRange(y, 0f, 1.2e-38f));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Partial_vectors_touch_their_own_lanes_only(int missing)
    {
        AssertPartial<Simd128>(4 - missing);
        AssertPartial<Simd256>(8 - missing);
        AssertPartial<Simd512>(16 - missing);
    }

    private static unsafe void AssertPartial<V>(int count) where V : unmanaged, ISimd<V>
    {
        if (!IsSupported<V>()) return;
        float[] source = [.. Enumerable.Range(1, V.Count).Select(i => (float)i)], destination = new float[V.Count];
        float[] loaded = new float[V.Count];
        fixed (float* from = source, to = destination, all = loaded)
        {
            V.Store(V.LoadPartial(from, count, -7f), all);
            V.StorePartial(V.Load(from), to, count);
        }
        Assert.Equal([.. source.Select((x, i) => i < count ? x : -7f)], loaded);
        Assert.Equal([.. source.Select((x, i) => i < count ? x : 0f)], destination);
    }

    private static void AssertWithin<TFunction>(double ulps, TFunction function, Func<double, double> exact, float[] inputs) where TFunction : unmanaged, IFunction
    {
        _ = function;
        float[] results = AllWidths<TFunction>(inputs);
        double worst = 0;
        int at = 0;
        for (int i = 0; i < inputs.Length; i++)
        {
            double expected = exact(inputs[i]);
            double error = Math.Abs(results[i] - expected) / Ulp(expected);
            if (!(error <= worst)) (worst, at) = (error, i);
        }
        Assert.True(worst <= ulps, $"{typeof(TFunction).Name}({inputs[at]:G9}) = {results[at]:G9}, exactly {exact(inputs[at]):G12}: {worst:F2} ulp, stated {ulps}");
    }

    /// <summary>The distance of f32 numbers around x.</summary>
    private static double Ulp(double x)
    {
        float magnitude = MathF.Abs((float)x);
        return (double)MathF.BitIncrement(magnitude) - magnitude;
    }

    private static void AssertValues<TFunction>(TFunction function, params (float Input, float Output)[] pairs) where TFunction : unmanaged, IFunction
    {
        _ = function;
        float[] results = AllWidths<TFunction>([.. pairs.Select(pair => pair.Input)]);
        for (int i = 0; i < pairs.Length; i++)
            Assert.True(pairs[i].Output.Equals(results[i]) && float.IsNegative(pairs[i].Output) == float.IsNegative(results[i]) | float.IsNaN(results[i]),
                $"{typeof(TFunction).Name}({pairs[i].Input}) = {results[i]:G9}, expected {pairs[i].Output:G9}");
    }

    /// <summary>Results of the narrowest width, after asserting that all others have the same bits.</summary>
    private static float[] AllWidths<TFunction>(float[] inputs) where TFunction : unmanaged, IFunction
    {
        float[] results = Apply<Simd128, TFunction>(inputs);
        if (IsSupported<Simd256>()) TestKit.Numbers.AssertSameBits(results, Apply<Simd256, TFunction>(inputs));
        if (IsSupported<Simd512>()) TestKit.Numbers.AssertSameBits(results, Apply<Simd512, TFunction>(inputs));
        return results;
    }

    private static bool IsSupported<V>() where V : unmanaged, ISimd<V> =>
        V.Count == 4 || (V.Count == 8 ? InstructionSets.Best >= InstructionSet.Avx2 : InstructionSets.Best >= InstructionSet.Avx512);

    private static unsafe float[] Apply<V, TFunction>(float[] inputs) where V : unmanaged, ISimd<V> where TFunction : unmanaged, IFunction
    {
        float[] results = new float[inputs.Length];
        fixed (float* from = inputs, to = results)
        {
            for (int i = 0; i < inputs.Length; i += V.Count)
            {
                int lanes = Math.Min(V.Count, inputs.Length - i);
                V.StorePartial(TFunction.Of(V.LoadPartial(from + i, lanes, 0.5f)), to + i, lanes);
            }
        }
        return results;
    }

    /// <summary>A quarter of a million numbers evenly over a range.</summary>
    private static float[] Sweep(float low, float high)
    {
        const int Count = 250_000;
        float[] numbers = new float[Count];
        for (int i = 0; i < Count; i++) numbers[i] = (float)(low + (((double)high - low) * i / (Count - 1)));
        return numbers;
    }

    /// <summary>Every stride-th float from low to high: evenly over the exponents.</summary>
    private static float[] Bits(float low, float high, int stride)
    {
        List<float> numbers = [];
        for (long bits = BitConverter.SingleToInt32Bits(low); bits <= BitConverter.SingleToInt32Bits(high); bits += stride) numbers.Add(BitConverter.Int32BitsToSingle((int)bits));
        return [.. numbers];
    }

    private static float[] Tiny(float low, float high) => [.. Bits(low, high, 9_973).SelectMany(x => new[] { x, -x })];

    private interface IFunction
    {
        static abstract V Of<V>(V x) where V : unmanaged, ISimd<V>;
    }

    private readonly struct ExpFunction : IFunction
    {
        public static V Of<V>(V x) where V : unmanaged, ISimd<V> => SimdMath.Exp(x);
    }

    private readonly struct ExpNonPositiveFunction : IFunction
    {
        public static V Of<V>(V x) where V : unmanaged, ISimd<V> => SimdMath.ExpNonPositive(x);
    }

    private readonly struct LogFunction : IFunction
    {
        public static V Of<V>(V x) where V : unmanaged, ISimd<V> => SimdMath.Log(x);
    }

    private readonly struct SigmoidFunction : IFunction
    {
        public static V Of<V>(V x) where V : unmanaged, ISimd<V> => SimdMath.Sigmoid(x);
    }

    private readonly struct TanhFunction : IFunction
    {
        public static V Of<V>(V x) where V : unmanaged, ISimd<V> => SimdMath.Tanh(x);
    }
}
