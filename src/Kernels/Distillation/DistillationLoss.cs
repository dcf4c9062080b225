namespace DistTrain.Kernels;

/// <summary>
/// The loss of knowledge distillation (Hinton et al. 2015, arXiv 1503.02531, section 2) and its gradient in one pass over both networks' logits:
/// total = (1 - α) · hard + α · T² · soft, hard = cross-entropy of the student with the labels, soft = KL(softmax(teacher / T) ‖ softmax(student / T)), all means
/// over the rows not ignored. T² keeps the soft gradient's size independent of T.
/// </summary>
public static class DistillationLoss
{
    private const string Name = "distillation loss";

    /// <summary>
    /// components = (total, hard, soft), 0 where no row counts; dStudentLogits = gradient of total for the student's logits. Both overwrite;
    /// dStudentLogits may be studentLogits. The teacher gets no gradient. Soft is exactly 0 where both rows have equal bits. Unlike
    /// <see cref="KlDivergence"/>, rows with the ignore index (padding) count in neither part; for unlabelled rows with a teacher add a <see cref="KlDivergence"/>.
    /// A part of weight 0 adds nothing to total, not even NaN. Enqueues and returns; on the CPU labels are checked first.
    /// </summary>
    /// <param name="stream">Orders the work.</param>
    /// <param name="components">[3], f32: total, hard, soft.</param>
    /// <param name="dStudentLogits">[..., classes], f32; null where only the loss is wanted.</param>
    /// <param name="studentLogits">[..., classes], f32, at least one class.</param>
    /// <param name="teacherLogits">The same shape.</param>
    /// <param name="labels">[...], i32: 0 to classes - 1, or the ignore index. On a GPU any other label makes total, hard and that row's gradient NaN.</param>
    /// <param name="options">Weights.</param>
    /// <exception cref="ShapeException">Shapes do not fit or an option is out of range.</exception>
    /// <exception cref="ArgumentException">On the CPU: a label is neither a class nor the ignore index; the message names row and value.</exception>
    public static void Forward(ExecutionStream stream, Tensor components, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, Tensor labels, in DistillationOptions options)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Check.Operand(Name, stream, components, new Shape(3));
        KlDivergence.CheckLogits(Name, stream, dStudentLogits, studentLogits, teacherLogits);
        Check.Operand(Name, stream, labels, CrossEntropy.RowsOf(studentLogits.Shape), DType.I32);
        options.Validate(Name);
        switch (stream.Device)
        {
            case CpuDevice cpu:
                int counted = ClassLabels.CountRows(Name, labels, studentLogits.Shape.ColumnCount, options.IgnoreIndex);
                if (cpu.InstructionSet == InstructionSet.Reference) DistillationReference.Loss(components, dStudentLogits, studentLogits, teacherLogits, labels, options, counted);
                else DistillationSimd.Loss(cpu, stream, components, dStudentLogits, studentLogits, teacherLogits, labels, options, counted);
                break;
            case GpuDevice gpu: DistillationGpu.Loss(gpu, stream, components, dStudentLogits, studentLogits, teacherLogits, labels, options); break;
        }
    }
}
