namespace DistTrain.Kernels;

/// <summary>
/// Fills tensors with random numbers of a <see cref="RandomKey"/>. Dimension 0 counts samples. f32 output, overwritten. Enqueues and returns.
/// </summary>
public static class RandomFill
{
    /// <summary>
    /// Numbers spread evenly over [low, high): low + f·(high - low) with f a multiple of 2^-24 in [0, 1), rounded once. The same bits on every
    /// device. Where the interval is narrow beside its numbers, rounding may give high itself.
    /// </summary>
    /// <exception cref="ShapeException">low is not below high, or they are not finite.</exception>
    public static void Uniform(ExecutionStream stream, Tensor output, float low, float high, RandomKey key)
    {
        Check.Operand("random uniform", stream, output);
        Check.Rule("random uniform", low < high && float.IsFinite(high - low), $"low {low} must be below high {high}, both finite");
        Fill(stream, output, low, high - low, key.Stream(), isNormal: false);
    }

    /// <summary>
    /// Numbers of the normal distribution by the Box-Muller transform: two words u, v make r = √(-2 ln u) and r cos and r sin of a full turn
    /// times v. u is a multiple of 2^-24 in (0, 1], so results lie within 5.77 standard deviations. Devices agree within 1e-5 of one.
    /// </summary>
    /// <exception cref="ShapeException">The standard deviation is negative, or a parameter is not finite.</exception>
    public static void Normal(ExecutionStream stream, Tensor output, float mean, float standardDeviation, RandomKey key)
    {
        Check.Operand("random normal", stream, output);
        Check.Rule("random normal", standardDeviation >= 0 && float.IsFinite(standardDeviation) && float.IsFinite(mean),
            $"mean {mean} and standard deviation {standardDeviation} must be finite, the latter not negative");
        Fill(stream, output, mean, standardDeviation, key.Stream(), isNormal: true);
    }

    private static void Fill(ExecutionStream stream, Tensor output, float offset, float scale, RandomStream random, bool isNormal)
    {
        if (output.ElementCount == 0) return;
        RandomRule rule = new() { Offset = offset, Scale = scale, IsNormal = isNormal ? 1 : 0 };
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: RandomFillReference.Fill(output, rule, random); break;
            case CpuDevice cpu: RandomFillSimd.Fill(cpu, output, rule, random); break;
            case GpuDevice gpu: RandomFillGpu.Fill(gpu, stream, output, rule, random); break;
        }
    }
}
