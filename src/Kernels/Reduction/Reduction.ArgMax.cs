namespace DistTrain.Kernels;

/// <content>Where the maximum lies.</content>
public static partial class Reduction
{
    /// <summary>
    /// The index of the greatest element along one dimension; the first of equal ones; a NaN counts as greatest. The output is i32 and has
    /// the input's shape with that dimension removed or of extent 1.
    /// </summary>
    /// <exception cref="ShapeException">The output's shape is another, the dimension does not exist or is empty.</exception>
    public static void ArgMax(ExecutionStream stream, Tensor output, Tensor input, int dimension)
    {
        const string Operation = "argmax";
        Check.Operand(Operation, stream, output, DType.I32);
        Check.Operand(Operation, stream, input);
        uint mask = Mask(Operation, input.Shape, [dimension]);
        Check.Rule(Operation, IsReduced(output.Shape, input.Shape, mask),
            $"output has shape {output.Shape}, expected {Expected(input.Shape, mask)} for the input {input.Shape}");
        if (output.ElementCount == 0) return;
        ReductionLayout layout = new(input.Shape, mask);
        Check.Rule(Operation, layout.ReducedCount > 0, $"input {input.Shape} has no elements to reduce");
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: ArgMaxReference(output, input, layout); break;
            case CpuDevice cpu: ArgMaxSimd.Run(cpu, output, input, layout); break;
            case GpuDevice gpu: ArgMaxGpu.Run(gpu, stream, output, input, layout); break;
        }
    }

    private static void ArgMaxReference(Tensor output, Tensor input, ReductionLayout layout)
    {
        Span<int> result = output.AsSpan<int>();
        Span<float> x = input.AsSpan<float>();
        for (int i = 0; i < result.Length; i++)
        {
            int start = (int)layout.KeptOffset(i), best = 0;
            for (int j = 1; j < layout.ReducedCount; j++)
            {
                float candidate = x[start + (int)layout.ReducedOffset(j)], held = x[start + (int)layout.ReducedOffset(best)];
                if (!float.IsNaN(held) && (candidate > held || float.IsNaN(candidate))) best = j;
            }
            result[i] = best;
        }
    }
}
