namespace DistTrain.Kernels;

/// <summary>
/// Cross-entropy of softmax(logits) over the last dimension, with the gradient from the same pass, through log-sum-exp. Loss and gradient
/// overwrite; dLogits may be the logits themselves. Rows that hold +infinity or NaN give a NaN loss; a logit of -infinity is a masked class
/// (a target share on it makes the loss +infinity). Enqueues and returns; on the CPU labels are checked first.
/// </summary>
public static class CrossEntropy
{
    private const string Name = "cross-entropy", SoftName = "cross-entropy with soft targets";

    /// <summary>
    /// loss = mean over the rows not ignored of -Σ_k target_k log softmax(logits)_k, where the target is one-hot, smoothed as the options say;
    /// 0 where no row counts. dLogits = the gradient of that mean times <see cref="CrossEntropyOptions.GradientScale"/>.
    /// </summary>
    /// <param name="stream">Orders the work.</param>
    /// <param name="loss">[] (a scalar), f32.</param>
    /// <param name="dLogits">[..., classes], f32; null where only the loss is wanted.</param>
    /// <param name="logits">[..., classes], f32, at least one class.</param>
    /// <param name="labels">[...], i32: 0 to classes - 1, or the ignore index. On a GPU any other label makes the loss and that row's gradient NaN.</param>
    /// <param name="options">Smoothing, ignore index, gradient scale.</param>
    /// <exception cref="ShapeException">Shapes do not fit or an option is out of range.</exception>
    /// <exception cref="ArgumentException">On the CPU: a label is neither a class nor the ignore index; the message names row and value.</exception>
    public static void Forward(ExecutionStream stream, Tensor loss, Tensor? dLogits, Tensor logits, Tensor labels, in CrossEntropyOptions options = default)
    {
        CheckOperands(Name, stream, loss, dLogits, logits);
        Check.Operand(Name, stream, labels, RowsOf(logits.Shape), DType.I32);
        options.Validate(Name);
        switch (stream.Device)
        {
            case CpuDevice cpu:
                int counted = ClassLabels.CountRows(Name, labels, logits.Shape.ColumnCount, options.IgnoreIndex);
                if (cpu.InstructionSet == InstructionSet.Reference) CrossEntropyReference.Labels(loss, dLogits, logits, labels, options, counted);
                else CrossEntropySimd.Labels(cpu, stream, loss, dLogits, logits, labels, options, counted);
                break;
            case GpuDevice gpu: CrossEntropyGpu.Labels(gpu, stream, loss, dLogits, logits, labels, options); break;
        }
    }

    /// <summary>
    /// loss = mean over all rows of -Σ_k targets_k log softmax(logits)_k (0 for no rows); dLogits = its gradient,
    /// (softmax(logits) · Σ_k targets_k - targets) / rows. A target of 0 on a masked class adds nothing. Targets get no gradient.
    /// </summary>
    /// <param name="stream">Orders the work.</param>
    /// <param name="loss">[] (a scalar), f32.</param>
    /// <param name="dLogits">[..., classes], f32; null where only the loss is wanted.</param>
    /// <param name="logits">[..., classes], f32, at least one class.</param>
    /// <param name="targets">[..., classes], f32: a distribution a row; used as they are, not normalised.</param>
    /// <exception cref="ShapeException">Shapes do not fit.</exception>
    public static void ForwardSoft(ExecutionStream stream, Tensor loss, Tensor? dLogits, Tensor logits, Tensor targets)
    {
        CheckOperands(SoftName, stream, loss, dLogits, logits);
        Check.Operand(SoftName, stream, targets, logits.Shape);
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: CrossEntropyReference.Soft(loss, dLogits, logits, targets); break;
            case CpuDevice cpu: CrossEntropySimd.Soft(cpu, stream, loss, dLogits, logits, targets); break;
            case GpuDevice gpu: CrossEntropyGpu.Soft(gpu, stream, loss, dLogits, logits, targets); break;
        }
    }

    /// <summary>The shape without its last dimension: one entry a row.</summary>
    internal static Shape RowsOf(Shape logits) => new(logits.Dimensions[..^1]);

    private static void CheckOperands(string operation, ExecutionStream stream, Tensor loss, Tensor? dLogits, Tensor logits)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Check.Operand(operation, stream, loss, default(Shape));
        Check.Operand(operation, stream, logits);
        Check.Rule(operation, logits.Shape.DimensionCount > 0 && logits.Shape.ColumnCount > 0, $"logits {logits.Shape} must have a last dimension of at least one class");
        if (dLogits is not null) Check.Operand(operation, stream, dLogits, logits.Shape);
    }
}
