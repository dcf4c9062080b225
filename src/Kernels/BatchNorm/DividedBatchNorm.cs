namespace DistTrain.Kernels;

/// <summary>
/// Batch normalisation of a batch that is divided among replicas, with the statistics of all of it: <see cref="BatchNorm"/> in steps, between which replicas exchange numbers per channel. Forward:
/// <see cref="Moments"/> of a part, all parts gathered, <see cref="Merge"/>, <see cref="Forward"/>. Backward: <see cref="GradientSums"/> of a part, added over all parts,
/// <see cref="InputGradient"/>. Parts may differ in size and be empty. Moments are four rows of [C]: the count of elements, their mean, what the mean lost in rounding, and the sum of
/// squared deviations from it; merged pairwise (Chan, Golub and LeVeque 1983), so that large means do not cancel. All operands f32 on the stream's device. Enqueues and returns.
/// </summary>
public static class DividedBatchNorm
{
    /// <summary>Rows of the moments.</summary>
    public const int MomentCount = 4;

    /// <summary>Rows of the gradient sums.</summary>
    public const int SumCount = 2;

    /// <summary>The moments of each channel of a part.</summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="moments">[4, C], out</param>
    /// <param name="input">[N, C, ...]; N may be 0</param>
    /// <exception cref="ShapeException">Shapes break these rules.</exception>
    public static void Moments(ExecutionStream stream, Tensor moments, Tensor input)
    {
        const string operation = "batch norm moments";
        ChannelLayout layout = BatchNorm.CheckInput(operation, stream, input);
        Check.Operand(operation, stream, moments, new Shape(MomentCount, layout.Channels));
        if (layout.Channels == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: DividedBatchNormReference.Moments(layout, moments, input); break;
            case CpuDevice cpu: DividedBatchNormSimd.Moments(cpu, layout, moments, input); break;
            case GpuDevice gpu: DividedBatchNormGpu.Moments(gpu, stream, layout, moments, input); break;
        }
    }

    /// <summary>The moments of several parts together, merged one after another: the same bits wherever the same parts are merged in the same order on the same kind of device.</summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="moments">[4, C], out</param>
    /// <param name="parts">[parts, 4, C]</param>
    /// <exception cref="ShapeException">Shapes break these rules.</exception>
    public static void Merge(ExecutionStream stream, Tensor moments, Tensor parts)
    {
        const string operation = "batch norm merge";
        Check.Operand(operation, stream, parts);
        Check.Rule(operation, parts.Shape.DimensionCount == 3 && parts.Shape[1] == MomentCount, $"parts {parts.Shape} must be [parts, {MomentCount}, channels]");
        Check.Operand(operation, stream, moments, new Shape(MomentCount, parts.Shape[2]));
        if (moments.ElementCount == 0) return;
        switch (stream.Device)
        {
            // A few hundred channels: one thread's plain loop is as fast as any on the CPU.
            case CpuDevice: DividedBatchNormReference.Merge(moments, parts); break;
            case GpuDevice gpu: DividedBatchNormGpu.Merge(gpu, stream, moments, parts); break;
        }
    }

    /// <summary>As <see cref="BatchNorm.Forward"/>, with the statistics of the batch that the input is a part of.</summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="output">[N, C, ...]; may be <paramref name="input"/></param>
    /// <param name="mean">[C], out, for the backward pass</param>
    /// <param name="inverseStd">[C], out: 1 / √(variance + epsilon)</param>
    /// <param name="input">[N, C, ...]</param>
    /// <param name="moments">[4, C] of the whole batch</param>
    /// <param name="scale">[C]</param>
    /// <param name="shift">[C]</param>
    /// <param name="epsilon">Added to the variance, ≥ 0.</param>
    /// <exception cref="ShapeException">Shapes break these rules.</exception>
    public static void Forward(ExecutionStream stream, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor moments, Tensor scale, Tensor shift, float epsilon = 1e-5f)
    {
        const string operation = "divided batch norm";
        ChannelLayout layout = BatchNorm.CheckInput(operation, stream, input);
        Check.Operand(operation, stream, output, input.Shape);
        Check.Operand(operation, stream, moments, new Shape(MomentCount, layout.Channels));
        BatchNorm.CheckChannels(operation, stream, layout, mean, inverseStd, scale, shift);
        BatchNorm.CheckEpsilon(operation, epsilon);
        if (layout.Channels == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: DividedBatchNormReference.Forward(layout, output, mean, inverseStd, input, moments, scale, shift, epsilon); break;
            case CpuDevice cpu: DividedBatchNormSimd.Forward(cpu, layout, output, mean, inverseStd, input, moments, scale, shift, epsilon); break;
            case GpuDevice gpu: DividedBatchNormGpu.Forward(gpu, stream, layout, output, mean, inverseStd, input, moments, scale, shift, epsilon); break;
        }
    }

    /// <summary>As <see cref="BatchNorm.UpdateRunning"/>, from a whole batch's moments. Without elements nothing changes.</summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="runningMean">[C], updated</param>
    /// <param name="runningVariance">[C], updated, unbiased</param>
    /// <param name="moments">[4, C]</param>
    /// <param name="momentum">Weight of the batch, in 0 to 1.</param>
    /// <exception cref="ShapeException">Shapes or options break these rules.</exception>
    public static void UpdateRunning(ExecutionStream stream, Tensor runningMean, Tensor runningVariance, Tensor moments, float momentum = 0.1f)
    {
        const string operation = "divided batch norm running statistics";
        Check.Operand(operation, stream, runningMean);
        Check.Rule(operation, runningMean.Shape.DimensionCount == 1, $"runningMean {runningMean.Shape} must have one dimension, the channels");
        Check.Operand(operation, stream, runningVariance, runningMean.Shape);
        Check.Operand(operation, stream, moments, new Shape(MomentCount, runningMean.Shape[0]));
        Check.Rule(operation, momentum is >= 0 and <= 1, $"momentum is {momentum}, it must be in 0 to 1");
        if (runningMean.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice: DividedBatchNormReference.UpdateRunning(runningMean, runningVariance, moments, momentum); break;
            case GpuDevice gpu: DividedBatchNormGpu.UpdateRunning(gpu, stream, runningMean, runningVariance, moments, momentum); break;
        }
    }

    /// <summary>A part's share of both sums of the backward pass: dShift = Σ dOutput and dScale = Σ dOutput · x̂ of each channel.</summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="sums">[2, C], out: dShift, then dScale</param>
    /// <param name="dOutput">[N, C, ...]; N may be 0</param>
    /// <param name="input">[N, C, ...]</param>
    /// <param name="mean">[C] from <see cref="Forward"/></param>
    /// <param name="inverseStd">[C] from <see cref="Forward"/></param>
    /// <exception cref="ShapeException">Shapes differ from the forward pass.</exception>
    public static void GradientSums(ExecutionStream stream, Tensor sums, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd)
    {
        const string operation = "batch norm gradient sums";
        ChannelLayout layout = BatchNorm.CheckInput(operation, stream, input);
        Check.Operand(operation, stream, dOutput, input.Shape);
        Shape channels = new(layout.Channels);
        Check.Operand(operation, stream, mean, channels);
        Check.Operand(operation, stream, inverseStd, channels);
        Check.Operand(operation, stream, sums, new Shape(SumCount, layout.Channels));
        if (layout.Channels == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: DividedBatchNormReference.GradientSums(layout, sums, dOutput, input, mean, inverseStd); break;
            case CpuDevice cpu: DividedBatchNormSimd.GradientSums(cpu, layout, sums, dOutput, input, mean, inverseStd); break;
            case GpuDevice gpu: DividedBatchNormGpu.GradientSums(gpu, stream, layout, sums, dOutput, input, mean, inverseStd); break;
        }
    }

    /// <summary>A part's input gradient: scale · inverseStd · (dOutput - dShift / n - x̂ · dScale / n) with the whole batch's sums and count n.</summary>
    /// <param name="stream">Where the work is enqueued.</param>
    /// <param name="dInput">[N, C, ...], overwritten; may be <paramref name="dOutput"/></param>
    /// <param name="dOutput">[N, C, ...]</param>
    /// <param name="input">[N, C, ...]</param>
    /// <param name="mean">[C] from <see cref="Forward"/></param>
    /// <param name="inverseStd">[C] from <see cref="Forward"/></param>
    /// <param name="scale">[C]</param>
    /// <param name="sums">[2, C], of all parts</param>
    /// <param name="moments">[4, C], of all parts</param>
    /// <exception cref="ShapeException">Shapes differ from the forward pass.</exception>
    public static void InputGradient(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor scale, Tensor sums, Tensor moments)
    {
        const string operation = "divided batch norm backward";
        ChannelLayout layout = BatchNorm.CheckInput(operation, stream, input);
        Check.Operand(operation, stream, dInput, input.Shape);
        Check.Operand(operation, stream, dOutput, input.Shape);
        Shape channels = new(layout.Channels);
        Check.Operand(operation, stream, mean, channels);
        Check.Operand(operation, stream, inverseStd, channels);
        Check.Operand(operation, stream, scale, channels);
        Check.Operand(operation, stream, sums, new Shape(SumCount, layout.Channels));
        Check.Operand(operation, stream, moments, new Shape(MomentCount, layout.Channels));
        if (input.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: DividedBatchNormReference.InputGradient(layout, dInput, dOutput, input, mean, inverseStd, scale, sums, moments); break;
            case CpuDevice cpu: DividedBatchNormSimd.InputGradient(cpu, layout, dInput, dOutput, input, mean, inverseStd, scale, sums, moments); break;
            case GpuDevice gpu: DividedBatchNormGpu.InputGradient(gpu, stream, layout, dInput, dOutput, input, mean, inverseStd, scale, sums, moments); break;
        }
    }
}
