namespace DistTrain.Kernels;

/// <summary>Conversions between element types.</summary>
public static class Cast
{
    /// <summary>
    /// output = input in the output's dtype, of one shape: f32 to and from f16 or bf16, i32 to f32, or a copy. Rounds to nearest, ties to
    /// even; what is too large for f16 becomes infinite; subnormals are kept; NaN stays NaN. The same bits on every device (but for NaN's
    /// payload). Enqueues and returns.
    /// </summary>
    /// <exception cref="ShapeException">The shapes differ, or the pair of dtypes has no conversion.</exception>
    public static void Convert(ExecutionStream stream, Tensor output, Tensor input)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(output);
        Check.Operand("cast", stream, output, output.DType);
        Check.Operand("cast", stream, input, output.Shape, input.DType);
        bool isCopy = input.DType == output.DType;
        Check.Rule("cast", isCopy || Exists(input.DType, output.DType),
            $"no conversion from {input.DType} to {output.DType}; there are F32 to and from F16 or BF16, and I32 to F32");
        if (output.ElementCount == 0) return;
        if (isCopy) input.CopyTo(stream, output);
        else
        {
            switch (stream.Device)
            {
                case CpuDevice { InstructionSet: InstructionSet.Reference }: CastReference.Convert(output, input); break;
                case CpuDevice cpu: CastSimd.Convert(cpu, output, input); break;
                case GpuDevice gpu: CastGpu.Convert(gpu, stream, output, input); break;
            }
        }
    }

    private static bool Exists(DType from, DType to) => from switch
    {
        DType.F32 => to is DType.F16 or DType.BF16,
        _ => to == DType.F32,
    };
}
