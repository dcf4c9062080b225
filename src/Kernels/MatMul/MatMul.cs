using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// Matrix multiplication in f32. On the CPU every output element is one chain of fused multiply-adds over ascending k, whatever the
/// tiling, so results have equal bits for every thread count and vector width (the reference accumulates in double instead). Factors may be
/// stored in 16 bits: they are widened as they are read, and the product is that of the widened factors to the bit.
/// </summary>
public static class MatMul
{
    private const string Name = "matmul";

    /// <summary>
    /// output = activation(a · b + bias), or with <paramref name="accumulate"/> activation(output + a · b + bias). Enqueues and returns.
    /// </summary>
    /// <param name="stream">A stream of the device that all operands lie on.</param>
    /// <param name="output">[batch, m, n], overwritten or added to. Not transposed; must not overlap an input. Gaps of a strided view stay as they are.</param>
    /// <param name="a">f32, bf16 or f16 [batch or 1, m, k]; transpose with <see cref="MatrixView.Transposed"/>. A batch of 1 is used for every output matrix.</param>
    /// <param name="b">[batch or 1, k, n], as <paramref name="a"/>.</param>
    /// <param name="epilogue">Bias [n] and activation; none by default. With k = 0 the product is 0 and the epilogue still applies.</param>
    /// <param name="accumulate">Adds the product to what the output holds, before bias and activation.</param>
    /// <exception cref="ShapeException">Shapes do not fit, or the output is transposed, overlaps itself or overlaps an input.</exception>
    public static void Forward(
        ExecutionStream stream, MatrixView output, MatrixView a, MatrixView b, MatMulEpilogue epilogue = default, bool accumulate = false)
    {
        ArgumentNullException.ThrowIfNull(stream);
        CheckOperands(stream, output.Tensor, a.Tensor, b.Tensor, epilogue.Bias, output.Columns);
        CheckShapes(output, a, b);
        CheckMemory(output, a, b, epilogue.Bias);
        if (output.IsEmpty) return;
        switch (epilogue.Activation)
        {
            case Activation.None: Run<IdentityOperator>(stream, output, a, b, epilogue.Bias, accumulate); break;
            case Activation.Relu: Run<ReluOperator>(stream, output, a, b, epilogue.Bias, accumulate); break;
            case Activation.Gelu: Run<GeluOperator>(stream, output, a, b, epilogue.Bias, accumulate); break;
            case Activation.Silu: Run<SiluOperator>(stream, output, a, b, epilogue.Bias, accumulate); break;
            case Activation.Tanh: Run<TanhOperator>(stream, output, a, b, epilogue.Bias, accumulate); break;
            case Activation.Sigmoid: Run<SigmoidOperator>(stream, output, a, b, epilogue.Bias, accumulate); break;
            case Activation.GeluTanh: Run<GeluTanhOperator>(stream, output, a, b, epilogue.Bias, accumulate); break;
            default: throw new ArgumentOutOfRangeException(nameof(epilogue), epilogue.Activation, "unknown activation");
        }
    }

    private static void Run<TOperator>(ExecutionStream stream, MatrixView output, MatrixView a, MatrixView b, Tensor? bias, bool accumulate)
        where TOperator : unmanaged, IUnaryOperator
    {
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: MatMulReference.Forward<TOperator>(output, a, b, bias, accumulate); break;
            case CpuDevice cpu: MatMulSimd.Forward<TOperator>(cpu, stream, output, a, b, bias, accumulate); break;
            case GpuDevice gpu: MatMulGpu.Forward<TOperator>(gpu, stream, output, a, b, bias, accumulate); break;
        }
    }

    private static void CheckOperands(ExecutionStream stream, Tensor output, Tensor a, Tensor b, Tensor? bias, int columns)
    {
        Check.Operand(Name, stream, output);
        CheckFactor(stream, a);
        CheckFactor(stream, b);
        if (bias is not null) Check.Operand(Name, stream, bias, new Shape(columns));
    }

    private static void CheckFactor(ExecutionStream stream, Tensor factor, [CallerArgumentExpression(nameof(factor))] string name = "") =>
        Check.Operand(Name, stream, factor, factor.DType is DType.F16 or DType.BF16 ? factor.DType : DType.F32, name);

    private static void CheckShapes(MatrixView output, MatrixView a, MatrixView b)
    {
        Check.Rule(Name, a.Columns == b.Rows, $"a {a} has {a.Columns} columns, b {b} has {b.Rows} rows; they must be equal");
        Check.Rule(Name, output.Rows == a.Rows && output.Columns == b.Columns,
            $"output {output} must be [{a.Rows}, {b.Columns}], the rows of a {a} by the columns of b {b}");
        Check.Rule(Name, a.BatchCount == output.BatchCount || a.BatchCount == 1,
            $"a {a} has a batch of {a.BatchCount}, output {output} one of {output.BatchCount}; a's must be the same or 1");
        Check.Rule(Name, b.BatchCount == output.BatchCount || b.BatchCount == 1,
            $"b {b} has a batch of {b.BatchCount}, output {output} one of {output.BatchCount}; b's must be the same or 1");
        Check.Rule(Name, output.ColumnStride == 1 || output.Columns <= 1, $"output {output} is transposed; multiply the transposed inputs in the other order instead");
        Check.Rule(Name, output.HasDistinctElements,
            $"output {output} with row stride {output.RowStride} and batch stride {output.BatchStride} has elements that lie in the same place");
    }

    private static void CheckMemory(MatrixView output, MatrixView a, MatrixView b, Tensor? bias)
    {
        Check.Rule(Name, !output.Overlaps(a), $"output {output} overlaps a {a} in memory; it must be another tensor");
        Check.Rule(Name, !output.Overlaps(b), $"output {output} overlaps b {b} in memory; it must be another tensor");
        Check.Rule(Name, bias is null || !output.Overlaps(bias), $"output {output} overlaps the bias in memory; it must be another tensor");
    }
}
