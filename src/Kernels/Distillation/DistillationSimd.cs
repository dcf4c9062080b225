namespace DistTrain.Kernels;

internal static unsafe class DistillationSimd
{
    public static void Loss(CpuDevice cpu, ExecutionStream stream, Tensor components, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, Tensor labels, in DistillationOptions options, int countedRows) =>
        DistillationReference.Loss(components, dStudentLogits, studentLogits, teacherLogits, labels, options, countedRows);
    public static void Divergence(CpuDevice cpu, ExecutionStream stream, Tensor loss, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, float temperature) =>
        DistillationReference.Divergence(loss, dStudentLogits, studentLogits, teacherLogits, temperature);
}
