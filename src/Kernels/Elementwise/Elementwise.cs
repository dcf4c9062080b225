namespace DistTrain.Kernels;

/// <summary>
/// Element-wise maths. Output overwrites (<see cref="AddScaled"/> adds); it may be one of the inputs. All operands f32 on the stream's
/// device. Enqueues and returns. NaN in gives NaN out. Exp and Log on the CPU's SIMD forms are within 2 ulp and equal on all
/// instruction sets; GPUs use their own, within a few ulp.
/// </summary>
public static partial class Elementwise
{
    /// <summary>output = left + right. <paramref name="right"/> has the output's shape or that of its innermost dimensions (repeated for every row).</summary>
    /// <exception cref="ShapeException">Shapes break that rule.</exception>
    public static void Add(ExecutionStream stream, Tensor output, Tensor left, Tensor right) =>
        CheckedBinary<AddOperator>("add", stream, output, left, right);

    /// <summary>output = left - right; shapes as for <see cref="Add"/>.</summary>
    /// <exception cref="ShapeException">Shapes break that rule.</exception>
    public static void Subtract(ExecutionStream stream, Tensor output, Tensor left, Tensor right) =>
        CheckedBinary<SubtractOperator>("subtract", stream, output, left, right);

    /// <summary>output = left * right, element by element; shapes as for <see cref="Add"/>.</summary>
    /// <exception cref="ShapeException">Shapes break that rule.</exception>
    public static void Multiply(ExecutionStream stream, Tensor output, Tensor left, Tensor right) =>
        CheckedBinary<MultiplyOperator>("multiply", stream, output, left, right);

    /// <summary>output = left / right; shapes as for <see cref="Add"/>.</summary>
    /// <exception cref="ShapeException">Shapes break that rule.</exception>
    public static void Divide(ExecutionStream stream, Tensor output, Tensor left, Tensor right) =>
        CheckedBinary<DivideOperator>("divide", stream, output, left, right);

    /// <summary>output = factor * input, of one shape.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void Scale(ExecutionStream stream, Tensor output, Tensor input, float factor) =>
        CheckedUnary("scale", stream, output, input, new ScaleOperator(factor));

    /// <summary>output += factor * input, of one shape, rounded once where the device has a fused multiply-add.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void AddScaled(ExecutionStream stream, Tensor output, Tensor input, float factor)
    {
        Check.Operand("add scaled", stream, output);
        Check.Operand("add scaled", stream, input, output.Shape);
        Binary(stream, output, output, input, new AddScaledOperator(factor));
    }

    /// <summary>output = e^input.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void Exp(ExecutionStream stream, Tensor output, Tensor input) => CheckedUnary("exp", stream, output, input, default(ExpOperator));

    /// <summary>output = ln input; -infinity for 0, NaN below.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void Log(ExecutionStream stream, Tensor output, Tensor input) => CheckedUnary("log", stream, output, input, default(LogOperator));

    /// <summary>output = √input, correctly rounded on the CPU; NaN below 0.</summary>
    /// <exception cref="ShapeException">The shapes differ.</exception>
    public static void Sqrt(ExecutionStream stream, Tensor output, Tensor input) => CheckedUnary("sqrt", stream, output, input, default(SqrtOperator));

    /// <summary>output = input, raised to <paramref name="min"/> and lowered to <paramref name="max"/>.</summary>
    /// <exception cref="ShapeException">The shapes differ, or min is above max.</exception>
    public static void Clamp(ExecutionStream stream, Tensor output, Tensor input, float min, float max)
    {
        Check.Rule("clamp", min <= max, $"min {min} must be at most max {max}");
        CheckedUnary("clamp", stream, output, input, new ClampOperator(min, max));
    }

    /// <summary>output[i] = function(input[i]). The caller has checked the operands.</summary>
    internal static void Unary<TOperator>(ExecutionStream stream, Tensor output, Tensor input, TOperator function)
        where TOperator : unmanaged, IUnaryOperator
    {
        if (output.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: ElementwiseReference.Unary(output, input, function); break;
            case CpuDevice cpu: ElementwiseSimd.Unary(cpu, output, input, function); break;
            case GpuDevice gpu: ElementwiseGpu.Unary(gpu, stream, output, input, function); break;
        }
    }

    /// <summary>output[i] = function(left[i], right[i mod right's length]). The caller has checked the operands.</summary>
    internal static void Binary<TOperator>(ExecutionStream stream, Tensor output, Tensor left, Tensor right, TOperator function)
        where TOperator : unmanaged, IBinaryOperator
    {
        if (output.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: ElementwiseReference.Binary(output, left, right, function); break;
            case CpuDevice cpu: ElementwiseSimd.Binary(cpu, output, left, right, function); break;
            case GpuDevice gpu: ElementwiseGpu.Binary(gpu, stream, output, left, right, function); break;
        }
    }

    private static void CheckedUnary<TOperator>(string operation, ExecutionStream stream, Tensor output, Tensor input, TOperator function)
        where TOperator : unmanaged, IUnaryOperator
    {
        Check.Operand(operation, stream, output);
        Check.Operand(operation, stream, input, output.Shape);
        Unary(stream, output, input, function);
    }

    private static void CheckedBinary<TOperator>(string operation, ExecutionStream stream, Tensor output, Tensor left, Tensor right)
        where TOperator : unmanaged, IBinaryOperator
    {
        Check.Operand(operation, stream, output);
        Check.Operand(operation, stream, left, output.Shape);
        Check.Operand(operation, stream, right);
        Check.Rule(operation, IsSuffix(right.Shape, output.Shape),
            $"right {right.Shape} must equal the output's shape {output.Shape} or its innermost dimensions");
        Binary(stream, output, left, right, default(TOperator));
    }

    private static bool IsSuffix(Shape suffix, Shape whole) =>
        suffix.DimensionCount <= whole.DimensionCount
        && whole.Dimensions[(whole.DimensionCount - suffix.DimensionCount)..].SequenceEqual(suffix.Dimensions);
}
