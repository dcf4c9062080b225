namespace DistTrain.Kernels;

/// <summary>
/// Dropout (Srivastava et al. 2014, JMLR 15): each element is dropped with a probability, the others are scaled by 1 / (1 - probability).
/// The mask is never stored: forward and backward draw it from the key. An element is kept where its random fraction, a multiple of 2^-24
/// in [0, 1), is at least the probability: the same mask on every device. Dimension 0 counts samples.
/// </summary>
public static class Dropout
{
    /// <summary>output = input · mask / (1 - probability). All f32 of one shape; the output may be the input. Enqueues and returns.</summary>
    /// <exception cref="ShapeException">The shapes differ, or the probability is not in [0, 1].</exception>
    public static void Forward(ExecutionStream stream, Tensor output, Tensor input, float probability, RandomKey key)
    {
        Check.Operand("dropout", stream, output);
        Check.Operand("dropout", stream, input, output.Shape);
        Run("dropout", stream, output, input, probability, key);
    }

    /// <summary>dInput = dOutput · mask / (1 - probability) with the mask of the same key. dInput may be dOutput.</summary>
    /// <exception cref="ShapeException">As above.</exception>
    public static void Backward(ExecutionStream stream, Tensor dInput, Tensor dOutput, float probability, RandomKey key)
    {
        Check.Operand("dropout backward", stream, dInput);
        Check.Operand("dropout backward", stream, dOutput, dInput.Shape);
        Run("dropout backward", stream, dInput, dOutput, probability, key);
    }

    private static void Run(string operation, ExecutionStream stream, Tensor output, Tensor input, float probability, RandomKey key)
    {
        Check.Rule(operation, probability is >= 0 and <= 1, $"the probability must be in 0 to 1, found {probability}");
        if (output.ElementCount == 0) return;
        RandomStream random = key.Stream();
        // At probability 1 nothing is kept and the factor does not matter.
        float scale = probability < 1 ? 1f / (1f - probability) : 0f;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: DropoutReference.Run(output, input, probability, scale, random); break;
            case CpuDevice cpu: DropoutSimd.Run(cpu, output, input, probability, scale, random); break;
            case GpuDevice gpu: DropoutGpu.Run(gpu, stream, output, input, probability, scale, random); break;
        }
    }
}
