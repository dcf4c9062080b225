namespace DistTrain.Kernels;

/// <summary>
/// The divergence of a student's distribution from a teacher's, from logits: KL(softmax(teacher / T) ‖ softmax(student / T)), through log-sum-exp and
/// never through the logarithm of a rounded probability. Without the factor T² of <see cref="DistillationLoss"/>.
/// </summary>
public static class KlDivergence
{
    private const string Name = "KL divergence";

    /// <summary>
    /// loss = mean over all rows (0 for no rows); dStudentLogits = its gradient, (softmax(student / T) - softmax(teacher / T)) / (T · rows). Both overwrite;
    /// dStudentLogits may be studentLogits. The loss is exactly 0 where student and teacher have equal bits; near 0 rounding can leave it a few 1e-7 below.
    /// A class masked (-infinity) in the teacher adds nothing; one masked in the student alone makes the loss +infinity; +infinity and NaN give NaN.
    /// Enqueues and returns.
    /// </summary>
    /// <param name="stream">Orders the work.</param>
    /// <param name="loss">[] (a scalar), f32.</param>
    /// <param name="dStudentLogits">[..., classes], f32; null where only the loss is wanted.</param>
    /// <param name="studentLogits">[..., classes], f32, at least one class.</param>
    /// <param name="teacherLogits">The same shape.</param>
    /// <param name="temperature">T, above 0 and finite.</param>
    /// <exception cref="ShapeException">Shapes do not fit or the temperature is out of range.</exception>
    public static void Forward(ExecutionStream stream, Tensor loss, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, float temperature = 1f)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Check.Operand(Name, stream, loss, default(Shape));
        CheckLogits(Name, stream, dStudentLogits, studentLogits, teacherLogits);
        Softmax.CheckTemperature(Name, temperature);
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }:
                DistillationReference.Divergence(loss, dStudentLogits, studentLogits, teacherLogits, temperature);
                break;
            case CpuDevice cpu: DistillationSimd.Divergence(cpu, stream, loss, dStudentLogits, studentLogits, teacherLogits, temperature); break;
            case GpuDevice gpu: DistillationGpu.Divergence(gpu, stream, loss, dStudentLogits, studentLogits, teacherLogits, temperature); break;
        }
    }

    internal static void CheckLogits(string operation, ExecutionStream stream, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits)
    {
        Check.Operand(operation, stream, studentLogits);
        Check.Rule(operation, studentLogits.Shape.DimensionCount > 0 && studentLogits.Shape.ColumnCount > 0,
            $"studentLogits {studentLogits.Shape} must have a last dimension of at least one class");
        Check.Operand(operation, stream, teacherLogits, studentLogits.Shape);
        if (dStudentLogits is not null) Check.Operand(operation, stream, dStudentLogits, studentLogits.Shape);
    }
}
