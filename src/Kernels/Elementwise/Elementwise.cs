namespace DistTrain.Kernels;

/// <summary>
/// Element-wise maths. Output overwrites; it may be one of the inputs. All operands f32 on the stream's device. Enqueues and returns.
/// </summary>
public static class Elementwise
{
    /// <summary>output = left + right. <paramref name="right"/> has the output's shape or that of its innermost dimensions (repeated for every row).</summary>
    /// <exception cref="ShapeException">Shapes break that rule.</exception>
    public static void Add(ExecutionStream stream, Tensor output, Tensor left, Tensor right) =>
        Binary<AddOperator>("add", stream, output, left, right);

    /// <summary>output = left - right; shapes as for <see cref="Add"/>.</summary>
    /// <exception cref="ShapeException">Shapes break that rule.</exception>
    public static void Subtract(ExecutionStream stream, Tensor output, Tensor left, Tensor right) =>
        Binary<SubtractOperator>("subtract", stream, output, left, right);

    /// <summary>output = left * right, element by element; shapes as for <see cref="Add"/>.</summary>
    /// <exception cref="ShapeException">Shapes break that rule.</exception>
    public static void Multiply(ExecutionStream stream, Tensor output, Tensor left, Tensor right) =>
        Binary<MultiplyOperator>("multiply", stream, output, left, right);

    /// <summary>output = left / right; shapes as for <see cref="Add"/>.</summary>
    /// <exception cref="ShapeException">Shapes break that rule.</exception>
    public static void Divide(ExecutionStream stream, Tensor output, Tensor left, Tensor right) =>
        Binary<DivideOperator>("divide", stream, output, left, right);

    private static void Binary<TOperator>(string operation, ExecutionStream stream, Tensor output, Tensor left, Tensor right)
        where TOperator : unmanaged, IBinaryOperator
    {
        Check.Operand(operation, stream, output);
        Check.Operand(operation, stream, left, output.Shape);
        Check.Operand(operation, stream, right);
        Check.Rule(operation, IsSuffix(right.Shape, output.Shape),
            $"right {right.Shape} must equal the output's shape {output.Shape} or its innermost dimensions");
        if (output.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: ElementwiseReference.Binary<TOperator>(output, left, right); break;
            case CpuDevice cpu: ElementwiseSimd.Binary<TOperator>(cpu, output, left, right); break;
            case GpuDevice gpu: ElementwiseGpu.Binary<TOperator>(gpu, stream, output, left, right); break;
        }
    }

    private static bool IsSuffix(Shape suffix, Shape whole) =>
        suffix.DimensionCount <= whole.DimensionCount
        && whole.Dimensions[(whole.DimensionCount - suffix.DimensionCount)..].SequenceEqual(suffix.Dimensions);
}
