namespace DistTrain.Kernels;

internal static unsafe class CrossEntropySimd
{
    public static void Labels(CpuDevice cpu, ExecutionStream stream, Tensor loss, Tensor? dLogits, Tensor logits, Tensor labels, in CrossEntropyOptions options, int countedRows) =>
        CrossEntropyReference.Labels(loss, dLogits, logits, labels, options, countedRows);
    public static void Soft(CpuDevice cpu, ExecutionStream stream, Tensor loss, Tensor? dLogits, Tensor logits, Tensor targets) =>
        CrossEntropyReference.Soft(loss, dLogits, logits, targets);
}
