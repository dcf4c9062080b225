namespace DistTrain.Kernels;

/// <summary>
/// Batch normalisation per channel (Ioffe and Szegedy 2015, arXiv 1502.03167). Dimension 0 is the batch, dimension 1 the channel; all
/// others ([N, C], [N, C, L], [N, C, H, W], ...) are positions. The variance is biased and taken around the mean, so that large means do
/// not cancel. Running statistics are updated apart (<see cref="UpdateRunning"/>), so that recomputing a forward pass applies them once.
/// All operands f32 on the stream's device. Enqueues and returns.
/// </summary>
public static class BatchNorm
{
    /// <summary>
    /// Training: output = (input - mean) · inverseStd · scale + shift with the batch's own statistics per channel. Overwrites;
    /// <paramref name="output"/> may be <paramref name="input"/>. A batch without elements has mean 0 and variance 0.
    /// </summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="output">[N, C, ...]</param>
    /// <param name="mean">[C], out, for the backward pass and the running statistics</param>
    /// <param name="inverseStd">[C], out: 1 / √(variance + epsilon)</param>
    /// <param name="input">[N, C, ...]</param>
    /// <param name="scale">[C]</param>
    /// <param name="shift">[C]</param>
    /// <param name="epsilon">Added to the variance, ≥ 0.</param>
    /// <exception cref="ShapeException">Shapes break these rules.</exception>
    public static void Forward(ExecutionStream stream, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor scale, Tensor shift, float epsilon = 1e-5f)
    {
        const string operation = "batch norm";
        ChannelLayout layout = CheckInput(operation, stream, input);
        Check.Operand(operation, stream, output, input.Shape);
        CheckChannels(operation, stream, layout, mean, inverseStd, scale, shift);
        CheckEpsilon(operation, epsilon);
        if (layout.Channels == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: BatchNormReference.Forward(layout, output, mean, inverseStd, input, scale, shift, epsilon); break;
            case CpuDevice cpu: BatchNormSimd.Forward(cpu, layout, output, mean, inverseStd, input, scale, shift, epsilon); break;
            case GpuDevice gpu: BatchNormGpu.Forward(gpu, stream, layout, output, mean, inverseStd, input, scale, shift, epsilon); break;
        }
    }

    /// <summary>
    /// Inference: output = (input - runningMean) / √(runningVariance + epsilon) · scale + shift. Overwrites; <paramref name="output"/> may
    /// be <paramref name="input"/>. Statistics, scale and shift are [C].
    /// </summary>
    /// <exception cref="ShapeException">Shapes break these rules.</exception>
    public static void ForwardInference(ExecutionStream stream, Tensor output, Tensor input, Tensor runningMean, Tensor runningVariance, Tensor scale, Tensor shift, float epsilon = 1e-5f)
    {
        const string operation = "batch norm inference";
        ChannelLayout layout = CheckInput(operation, stream, input);
        Check.Operand(operation, stream, output, input.Shape);
        Shape channels = new(layout.Channels);
        Check.Operand(operation, stream, runningMean, channels);
        Check.Operand(operation, stream, runningVariance, channels);
        Check.Operand(operation, stream, scale, channels);
        Check.Operand(operation, stream, shift, channels);
        CheckEpsilon(operation, epsilon);
        if (input.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: BatchNormReference.ForwardInference(layout, output, input, runningMean, runningVariance, scale, shift, epsilon); break;
            case CpuDevice cpu: BatchNormSimd.ForwardInference(cpu, layout, output, input, runningMean, runningVariance, scale, shift, epsilon); break;
            case GpuDevice gpu: BatchNormGpu.ForwardInference(gpu, stream, layout, output, input, runningMean, runningVariance, scale, shift, epsilon); break;
        }
    }

    /// <summary>
    /// Moves the running statistics [C] a step towards a batch's: running = (1 - momentum) · running + momentum · batch, as PyTorch does,
    /// with the unbiased variance (divided by n - 1; for n = 1 that variance, 0, is taken as it is). Without elements nothing changes.
    /// The variance is recovered from <paramref name="inverseStd"/>, so <paramref name="epsilon"/> must be the forward pass's.
    /// </summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="runningMean">[C], updated</param>
    /// <param name="runningVariance">[C], updated</param>
    /// <param name="mean">[C] from <see cref="Forward"/></param>
    /// <param name="inverseStd">[C] from <see cref="Forward"/></param>
    /// <param name="elementsPerChannel">n: batch size times positions, ≥ 0.</param>
    /// <param name="momentum">Weight of the batch, in 0 to 1.</param>
    /// <param name="epsilon">The forward pass's.</param>
    /// <exception cref="ShapeException">Shapes or options break these rules.</exception>
    public static void UpdateRunning(ExecutionStream stream, Tensor runningMean, Tensor runningVariance, Tensor mean, Tensor inverseStd, long elementsPerChannel, float momentum = 0.1f, float epsilon = 1e-5f)
    {
        const string operation = "batch norm running statistics";
        Check.Operand(operation, stream, runningMean);
        Check.Rule(operation, runningMean.Shape.DimensionCount == 1, $"runningMean {runningMean.Shape} must have one dimension, the channels");
        Check.Operand(operation, stream, runningVariance, runningMean.Shape);
        Check.Operand(operation, stream, mean, runningMean.Shape);
        Check.Operand(operation, stream, inverseStd, runningMean.Shape);
        Check.Rule(operation, elementsPerChannel >= 0, $"elementsPerChannel is {elementsPerChannel}, it must be 0 or more");
        Check.Rule(operation, momentum is >= 0 and <= 1, $"momentum is {momentum}, it must be in 0 to 1");
        CheckEpsilon(operation, epsilon);
        if (runningMean.ElementCount == 0 || elementsPerChannel == 0) return;
        float unbias = (float)(elementsPerChannel / (double)Math.Max(1, elementsPerChannel - 1));
        switch (stream.Device)
        {
            // A few hundred channels: one thread's plain loop is as fast as any on the CPU.
            case CpuDevice: BatchNormReference.UpdateRunning(runningMean, runningVariance, mean, inverseStd, unbias, momentum, epsilon); break;
            case GpuDevice gpu: BatchNormGpu.UpdateRunning(gpu, stream, runningMean, runningVariance, mean, inverseStd, unbias, momentum, epsilon); break;
        }
    }

    /// <summary>
    /// Gradients of <see cref="Forward"/> through the batch's statistics. With x̂ the normalised input and n elements a channel:
    /// dShift = Σ dOutput, dScale = Σ dOutput · x̂, dInput = scale · inverseStd · (dOutput - dShift / n - x̂ · dScale / n).
    /// <paramref name="dInput"/> is overwritten and may be <paramref name="dOutput"/>; <paramref name="dScale"/> and
    /// <paramref name="dShift"/> [C] are overwritten, or added to where <paramref name="accumulate"/> is set.
    /// </summary>
    /// <exception cref="ShapeException">Shapes differ from the forward pass.</exception>
    public static void Backward(ExecutionStream stream, Tensor dInput, Tensor dScale, Tensor dShift, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor scale, bool accumulate = false)
    {
        const string operation = "batch norm backward";
        ChannelLayout layout = CheckInput(operation, stream, input);
        Check.Operand(operation, stream, dInput, input.Shape);
        Check.Operand(operation, stream, dOutput, input.Shape);
        Shape channels = new(layout.Channels);
        Check.Operand(operation, stream, dScale, channels);
        Check.Operand(operation, stream, dShift, channels);
        Check.Operand(operation, stream, mean, channels);
        Check.Operand(operation, stream, inverseStd, channels);
        Check.Operand(operation, stream, scale, channels);
        if (layout.Channels == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: BatchNormReference.Backward(layout, dInput, dScale, dShift, dOutput, input, mean, inverseStd, scale, accumulate); break;
            case CpuDevice cpu: BatchNormSimd.Backward(cpu, layout, dInput, dScale, dShift, dOutput, input, mean, inverseStd, scale, accumulate); break;
            case GpuDevice gpu: BatchNormGpu.Backward(gpu, stream, layout, dInput, dScale, dShift, dOutput, input, mean, inverseStd, scale, accumulate); break;
        }
    }

    internal static ChannelLayout CheckInput(string operation, ExecutionStream stream, Tensor input)
    {
        Check.Operand(operation, stream, input);
        Check.Rule(operation, input.Shape.DimensionCount >= 2, $"input {input.Shape} must have two dimensions or more: batch, channels, positions");
        return new ChannelLayout(input.Shape[0], input.Shape[1], checked((int)input.Shape.ElementCountOf(2, input.Shape.DimensionCount)));
    }

    internal static void CheckChannels(string operation, ExecutionStream stream, ChannelLayout layout, Tensor mean, Tensor inverseStd, Tensor scale, Tensor shift)
    {
        Shape channels = new(layout.Channels);
        Check.Operand(operation, stream, mean, channels);
        Check.Operand(operation, stream, inverseStd, channels);
        Check.Operand(operation, stream, scale, channels);
        Check.Operand(operation, stream, shift, channels);
    }

    internal static void CheckEpsilon(string operation, float epsilon) =>
        Check.Rule(operation, epsilon >= 0, $"epsilon is {epsilon}, it must be 0 or more");
}
