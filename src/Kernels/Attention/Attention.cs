namespace DistTrain.Kernels;

/// <summary>
/// Scaled-dot-product attention of H heads: output = softmax(scale · query · keyᵀ, masked) · value, with the tiling and the online softmax of
/// FlashAttention-2 (Dao 2023, arXiv 2307.08691): scores exist one tile at a time, never as a T × S matrix. Causal and key-length masks may
/// be combined; the causal alignment counts all S keys. A query that sees no key gives output 0, logSumExp -∞ and no gradient.
/// Keys and values beyond a key length are never read. All operands f32 (key lengths i32) on the stream's device. Enqueues and returns.
/// </summary>
public static class Attention
{
    /// <summary>The largest head size D.</summary>
    public const int MaxHeadSize = 256;

    /// <summary>Overwrites <paramref name="output"/> and <paramref name="logSumExp"/>, which the backward pass needs.</summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="output">[B, T, H, D]; must share no memory with the inputs</param>
    /// <param name="logSumExp">[B, H, T], out: log Σ exp(scaled scores) of each query</param>
    /// <param name="query">[B, T, H, D]</param>
    /// <param name="key">[B, S, H, D]</param>
    /// <param name="value">[B, S, H, D]</param>
    /// <param name="keyLengths">i32 [B]: only the first keyLengths[b] keys exist (values are clamped to 0..S); null: all S</param>
    /// <param name="options">Mask and scale.</param>
    /// <exception cref="ShapeException">Shapes break these rules, or D is above <see cref="MaxHeadSize"/>.</exception>
    public static void Forward(ExecutionStream stream, Tensor output, Tensor logSumExp, Tensor query, Tensor key, Tensor value, Tensor? keyLengths, in AttentionOptions options = default)
    {
        const string operation = "attention";
        AttentionLayout layout = CheckInputs(operation, stream, query, key, value, keyLengths, options);
        Check.Operand(operation, stream, output, query.Shape);
        Check.Operand(operation, stream, logSumExp, layout.PerQuery);
        if (query.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: AttentionReference.Forward(layout, output, logSumExp, query, key, value, keyLengths); break;
            case CpuDevice cpu: AttentionSimd.Forward(cpu, layout, output, logSumExp, query, key, value, keyLengths); break;
            case GpuDevice gpu: AttentionGpu.Forward(gpu, stream, layout, output, logSumExp, query, key, value, keyLengths); break;
        }
    }

    /// <summary>
    /// Gradients of <see cref="Forward"/>; all three overwrite. Probabilities are recomputed tile by tile from <paramref name="logSumExp"/>.
    /// Shapes as in the forward pass: <paramref name="dQuery"/> and <paramref name="dOutput"/> as query, <paramref name="dKey"/> and
    /// <paramref name="dValue"/> as key. Sums run in a fixed order, so results are the same from run to run. Gradients must share no
    /// memory with any other operand.
    /// </summary>
    /// <exception cref="ShapeException">Shapes differ from the forward pass.</exception>
    public static void Backward(
        ExecutionStream stream, Tensor dQuery, Tensor dKey, Tensor dValue, Tensor dOutput, Tensor output, Tensor logSumExp,
        Tensor query, Tensor key, Tensor value, Tensor? keyLengths, in AttentionOptions options = default)
    {
        const string operation = "attention backward";
        AttentionLayout layout = CheckInputs(operation, stream, query, key, value, keyLengths, options);
        Check.Operand(operation, stream, dQuery, query.Shape);
        Check.Operand(operation, stream, dKey, key.Shape);
        Check.Operand(operation, stream, dValue, key.Shape);
        Check.Operand(operation, stream, dOutput, query.Shape);
        Check.Operand(operation, stream, output, query.Shape);
        Check.Operand(operation, stream, logSumExp, layout.PerQuery);
        if (query.ElementCount == 0 || key.ElementCount == 0)
        {
            dQuery.Clear(stream);
            dKey.Clear(stream);
            dValue.Clear(stream);
            return;
        }
        AttentionGradients gradients = new(dQuery, dKey, dValue, dOutput, output, logSumExp);
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: AttentionReference.Backward(layout, gradients, query, key, value, keyLengths); break;
            case CpuDevice cpu: AttentionSimd.Backward(cpu, layout, gradients, query, key, value, keyLengths); break;
            case GpuDevice gpu: AttentionGpu.Backward(gpu, stream, layout, gradients, query, key, value, keyLengths); break;
        }
    }

    private static AttentionLayout CheckInputs(string operation, ExecutionStream stream, Tensor query, Tensor key, Tensor value, Tensor? keyLengths, in AttentionOptions options)
    {
        Check.Operand(operation, stream, query);
        Check.Operand(operation, stream, key);
        Check.Rule(operation, query.Shape.DimensionCount == 4 && key.Shape.DimensionCount == 4,
            $"query {query.Shape} and key {key.Shape} must be [batch, positions, heads, head size]");
        Shape q = query.Shape, k = key.Shape;
        Check.Rule(operation, q[0] == k[0] && q[2] == k[2] && q[3] == k[3], $"query {q} and key {k} must be equal but for dimension 1");
        Check.Rule(operation, q[3] is >= 1 and <= MaxHeadSize, $"the head size is {q[3]}, it must be in 1 to {MaxHeadSize}");
        Check.Rule(operation, float.IsFinite(options.Scale), $"the scale is {options.Scale}, it must be finite");
        Check.Operand(operation, stream, value, k);
        if (keyLengths is not null) Check.Operand(operation, stream, keyLengths, new Shape(q[0]), DType.I32);
        float scale = options.Scale == 0 ? 1 / MathF.Sqrt(q[3]) : options.Scale;
        return new AttentionLayout(q[0], q[1], k[1], q[2], q[3], options.IsCausal, scale);
    }
}
