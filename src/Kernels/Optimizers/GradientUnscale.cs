namespace DistTrain.Kernels;

/// <summary>Takes a loss scale out of a gradient and looks for overflow, in one pass over memory.</summary>
public static class GradientUnscale
{
    private const string Operation = "unscale";

    /// <summary>gradient = factor·gradient in place; <paramref name="mark"/> becomes 1 if an element of the result is NaN or infinite, and is else left as it is. Enqueues and returns.</summary>
    /// <param name="stream">Where the work is ordered.</param>
    /// <param name="gradient">f32, updated.</param>
    /// <param name="factor">1 / loss scale.</param>
    /// <param name="mark">i32 of one element.</param>
    /// <exception cref="ShapeException">A dtype or the mark's shape is another.</exception>
    public static void Apply(ExecutionStream stream, Tensor gradient, float factor, Tensor mark)
    {
        Check.Operand(Operation, stream, gradient);
        Check.Operand(Operation, stream, mark, new Shape(1), DType.I32);
        if (gradient.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: GradientUnscaleReference.Apply(gradient, factor, mark); break;
            case CpuDevice cpu: GradientUnscaleSimd.Apply(cpu, gradient, factor, mark); break;
            case GpuDevice gpu: GradientUnscaleGpu.Apply(gpu, stream, gradient, factor, mark); break;
        }
    }
}
