namespace DistTrain.Kernels;

/// <summary>
/// Softmax with temperature over the last dimension: y_j = exp(x_j / T) / Σ_k exp(x_k / T), computed after the row's maximum is taken off, so
/// that any finite logits are safe. A logit of -infinity is a masked class with probability exactly 0; a row that holds +infinity or
/// NaN, or nothing but -infinity, becomes NaN. All operands f32 on the stream's device. Enqueues and returns.
/// </summary>
public static class Softmax
{
    private const string ForwardName = "softmax", BackwardName = "softmax backward";

    /// <summary>output = softmax(input / temperature). Overwrites; output may be input.</summary>
    /// <param name="stream">Orders the work.</param>
    /// <param name="output">[..., classes]</param>
    /// <param name="input">Logits, the same shape.</param>
    /// <param name="temperature">Above 0 and finite; above 1 flattens the distribution (Hinton et al. 2015, arXiv 1503.02531, section 2).</param>
    /// <exception cref="ShapeException">Shapes differ, or the temperature is out of range.</exception>
    public static void Forward(ExecutionStream stream, Tensor output, Tensor input, float temperature = 1f)
    {
        ArgumentNullException.ThrowIfNull(stream);
        Check.Operand(ForwardName, stream, output);
        Check.Operand(ForwardName, stream, input, output.Shape);
        CheckTemperature(ForwardName, temperature);
        if (output.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: SoftmaxReference.Forward(output, input, temperature); break;
            case CpuDevice cpu: SoftmaxSimd.Forward(cpu, output, input, temperature); break;
            case GpuDevice gpu: SoftmaxGpu.Forward(gpu, stream, output, input, temperature, isLog: false); break;
        }
    }

    /// <summary>dInput = output · (dOutput - Σ_k dOutput_k output_k) / temperature. Overwrites; dInput may be dOutput or output.</summary>
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
        CheckTemperature(BackwardName, temperature);
        if (dInput.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: SoftmaxReference.Backward(dInput, dOutput, output, temperature); break;
            case CpuDevice cpu: SoftmaxSimd.Backward(cpu, dInput, dOutput, output, temperature); break;
            case GpuDevice gpu: SoftmaxGpu.Backward(gpu, stream, dInput, dOutput, output, temperature, isLog: false); break;
        }
    }

    internal static void CheckTemperature(string operation, float temperature) =>
        Check.Rule(operation, temperature > 0f && float.IsFinite(temperature) && float.IsFinite(1f / temperature),
            $"the temperature is {temperature}, it must be a finite number above 0");
}
