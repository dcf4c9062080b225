namespace DistTrain.Kernels;

/// <summary>
/// The logarithm of <see cref="Softmax"/> over the last dimension, through log-sum-exp and never through the logarithm of a rounded
/// probability: y_j = x_j / T - log Σ_k exp(x_k / T). Masked classes (-infinity) give -infinity; +infinity or NaN make the row NaN.
/// All operands f32 on the stream's device. Enqueues and returns.
/// </summary>
public static class LogSoftmax
{
    private const string ForwardName = "log-softmax", BackwardName = "log-softmax backward";

    /// <summary>output = log softmax(input / temperature). Overwrites; output may be input.</summary>
    /// <param name="stream">Orders the work.</param>
    /// <param name="output">[..., classes]</param>
    /// <param name="input">Logits, the same shape.</param>
    /// <param name="temperature">Above 0 and finite.</param>
    /// <exception cref="ShapeException">Shapes differ, or the temperature is out of range.</exception>
    public static void Forward(ExecutionStream stream, Tensor output, Tensor input, float temperature = 1f)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Check.Operand(ForwardName, stream, output);
        Check.Operand(ForwardName, stream, input, output.Shape);
        Softmax.CheckTemperature(ForwardName, temperature);
        if (output.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: SoftmaxReference.LogForward(output, input, temperature); break;
            case CpuDevice cpu: SoftmaxSimd.LogForward(cpu, output, input, temperature); break;
            case GpuDevice gpu: SoftmaxGpu.Forward(gpu, stream, output, input, temperature, isLog: true); break;
        }
    }

    /// <summary>dInput = (dOutput - exp(output) · Σ_k dOutput_k) / temperature. Overwrites; dInput may be dOutput or output.</summary>
    /// <param name="stream">Orders the work.</param>
    /// <param name="dInput">[..., classes]</param>
    /// <param name="dOutput">Gradient of the loss for the output, the same shape.</param>
    /// <param name="output">What <see cref="Forward"/> gave, the same shape.</param>
    /// <param name="temperature">That of <see cref="Forward"/>.</param>
    /// <exception cref="ShapeException">Shapes differ, or the temperature is out of range.</exception>
    public static void Backward(ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor output, float temperature = 1f)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Check.Operand(BackwardName, stream, dInput);
        Check.Operand(BackwardName, stream, dOutput, dInput.Shape);
        Check.Operand(BackwardName, stream, output, dInput.Shape);
        Softmax.CheckTemperature(BackwardName, temperature);
        if (dInput.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: SoftmaxReference.LogBackward(dInput, dOutput, output, temperature); break;
            case CpuDevice cpu: SoftmaxSimd.LogBackward(cpu, dInput, dOutput, output, temperature); break;
            case GpuDevice gpu: SoftmaxGpu.Backward(gpu, stream, dInput, dOutput, output, temperature, isLog: true); break;
        }
    }
}
