namespace DistTrain.Kernels;

internal static unsafe class SoftmaxSimd
{
    public static void Forward(CpuDevice cpu, Tensor output, Tensor input, float temperature) => SoftmaxReference.Forward(output, input, temperature);
    public static void LogForward(CpuDevice cpu, Tensor output, Tensor input, float temperature) => SoftmaxReference.LogForward(output, input, temperature);
    public static void Backward(CpuDevice cpu, Tensor dInput, Tensor dOutput, Tensor output, float temperature) => SoftmaxReference.Backward(dInput, dOutput, output, temperature);
    public static void LogBackward(CpuDevice cpu, Tensor dInput, Tensor dOutput, Tensor output, float temperature) => SoftmaxReference.LogBackward(dInput, dOutput, output, temperature);
}
