namespace DistTrain.Kernels;

/// <summary>
/// Layer normalisation over the last dimension (Ba, Kiros and Hinton 2016, arXiv 1607.06450): each row of C ≥ 1 elements gets mean 0 and
/// variance 1, then an optional scale and shift per column. The variance is biased (divided by C) and taken around the mean in a second
/// pass, so that large means do not cancel. All operands f32 on the stream's device. Enqueues and returns.
/// </summary>
public static class LayerNorm
{
    /// <summary>
    /// output = (input - mean) · inverseStd · scale + shift. Overwrites; <paramref name="output"/> may be <paramref name="input"/>.
    /// <paramref name="mean"/> and <paramref name="inverseStd"/> [rows] are kept for the backward pass, where rows is the product of all
    /// dimensions but the last.
    /// </summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="output">[..., C]</param>
    /// <param name="mean">[rows], out</param>
    /// <param name="inverseStd">[rows], out: 1 / √(variance + epsilon)</param>
    /// <param name="input">[..., C]</param>
    /// <param name="scale">[C], or null for 1</param>
    /// <param name="shift">[C], or null for 0</param>
    /// <param name="epsilon">Added to the variance, ≥ 0.</param>
    /// <exception cref="ShapeException">Shapes break these rules.</exception>
    public static void Forward(ExecutionStream stream, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor? scale, Tensor? shift, float epsilon = 1e-5f)
    {
        const string operation = "layer norm";
        int rows = CheckInput(operation, stream, input), columns = input.Shape.ColumnCount;
        Check.Operand(operation, stream, output, input.Shape);
        Check.Operand(operation, stream, mean, new Shape(rows));
        Check.Operand(operation, stream, inverseStd, new Shape(rows));
        if (scale is not null) Check.Operand(operation, stream, scale, new Shape(columns));
        if (shift is not null) Check.Operand(operation, stream, shift, new Shape(columns));
        Check.Rule(operation, epsilon >= 0, $"epsilon is {epsilon}, it must be 0 or more");
        if (rows == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: LayerNormReference.Forward(output, mean, inverseStd, input, scale, shift, epsilon); break;
            case CpuDevice cpu: LayerNormSimd.Forward(cpu, output, mean, inverseStd, input, scale, shift, epsilon); break;
            case GpuDevice gpu: LayerNormGpu.Forward(gpu, stream, output, mean, inverseStd, input, scale, shift, epsilon); break;
        }
    }

    /// <summary>
    /// The gradient with respect to the input; overwrites. <paramref name="dInput"/> may be <paramref name="dOutput"/>.
    /// With g = dOutput · scale and x̂ the normalised input: dInput = inverseStd · (g - mean(g) - x̂ · mean(g x̂)), means over the row.
    /// </summary>
    /// <exception cref="ShapeException">Shapes differ from the forward pass.</exception>
    public static void BackwardInput(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor? scale)
    {
        const string operation = "layer norm backward";
        int rows = CheckInput(operation, stream, input);
        Check.Operand(operation, stream, dInput, input.Shape);
        Check.Operand(operation, stream, dOutput, input.Shape);
        Check.Operand(operation, stream, mean, new Shape(rows));
        Check.Operand(operation, stream, inverseStd, new Shape(rows));
        if (scale is not null) Check.Operand(operation, stream, scale, new Shape(input.Shape.ColumnCount));
        if (rows == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: LayerNormReference.BackwardInput(dInput, dOutput, input, mean, inverseStd, scale); break;
            case CpuDevice cpu: LayerNormSimd.BackwardInput(cpu, dInput, dOutput, input, mean, inverseStd, scale); break;
            case GpuDevice gpu: LayerNormGpu.BackwardInput(gpu, stream, dInput, dOutput, input, mean, inverseStd, scale); break;
        }
    }

    /// <summary>
    /// The gradients with respect to scale and shift: dScale = Σ dOutput · x̂ and dShift = Σ dOutput over all rows, in a fixed order.
    /// Overwrites, or adds where <paramref name="accumulate"/> is set. No rows: the sums are 0.
    /// </summary>
    /// <exception cref="ShapeException">Shapes differ from the forward pass.</exception>
    public static void BackwardWeight(ExecutionStream stream, Tensor dScale, Tensor dShift, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, bool accumulate = false)
    {
        const string operation = "layer norm backward";
        int rows = CheckInput(operation, stream, input);
        Shape columns = new(input.Shape.ColumnCount);
        Check.Operand(operation, stream, dScale, columns);
        Check.Operand(operation, stream, dShift, columns);
        Check.Operand(operation, stream, dOutput, input.Shape);
        Check.Operand(operation, stream, mean, new Shape(rows));
        Check.Operand(operation, stream, inverseStd, new Shape(rows));
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: LayerNormReference.BackwardWeight(dScale, dShift, dOutput, input, mean, inverseStd, accumulate); break;
            case CpuDevice cpu: LayerNormSimd.BackwardWeight(cpu, dScale, dShift, dOutput, input, mean, inverseStd, accumulate); break;
            case GpuDevice gpu: LayerNormGpu.BackwardWeight(gpu, stream, dScale, dShift, dOutput, input, mean, inverseStd, accumulate); break;
        }
    }

    /// <summary>
    /// Row blocks whose column sums are taken apart and then added in order: a fixed cut, so sums never depend on threads. At least 32 rows
    /// a block, at most 64 blocks.
    /// </summary>
    internal static (int RowsPerBlock, int BlockCount) RowBlocks(int rows)
    {
        int rowsPerBlock = Math.Max(32, (rows + 63) / 64);
        return (rowsPerBlock, (rows + rowsPerBlock - 1) / rowsPerBlock);
    }

    private static int CheckInput(string operation, ExecutionStream stream, Tensor input)
    {
        Check.Operand(operation, stream, input);
        Check.Rule(operation, input.Shape.DimensionCount >= 1 && input.Shape.ColumnCount >= 1,
            $"input {input.Shape} must have a last dimension of 1 element or more");
        return checked((int)input.Shape.RowCount);
    }
}
