namespace DistTrain.Kernels;

/// <summary>
/// One step of stochastic gradient descent in one pass over memory, by PyTorch's rule:
/// <code>
/// g = gradient + λ·parameter
/// buffer = IsFirstStep ? g : μ·buffer + g            (with momentum)
/// d = μ = 0 ? g : Nesterov ? g + μ·buffer : buffer
/// parameter = parameter - LearningRate·d
/// </code>
/// </summary>
public static class SgdUpdate
{
    private const string Operation = "sgd update";

    /// <summary>Updates parameter and buffer in place; all f32 of one shape. Enqueues and returns.</summary>
    /// <param name="stream">Where the work is ordered.</param>
    /// <param name="parameter">Updated.</param>
    /// <param name="momentumBuffer">Updated; null without momentum.</param>
    /// <param name="gradient">Read only.</param>
    /// <param name="options">Rates.</param>
    /// <exception cref="ShapeException">The shapes differ, or momentum has no buffer, or Nesterov no momentum.</exception>
    public static void Apply(ExecutionStream stream, Tensor parameter, Tensor? momentumBuffer, Tensor gradient, in SgdOptions options)
    {
        Check.Operand(Operation, stream, parameter);
        Check.Operand(Operation, stream, gradient, parameter.Shape);
        Check.Rule(Operation, options.Momentum != 0 || !options.Nesterov, "Nesterov needs momentum");
        Check.Rule(Operation, options.Momentum == 0 || momentumBuffer is not null, $"momentum {options.Momentum} needs a buffer, found null");
        Tensor? buffer = options.Momentum == 0 ? null : momentumBuffer;
        if (buffer is not null) Check.Operand(Operation, stream, buffer, parameter.Shape, name: nameof(momentumBuffer));
        if (parameter.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: SgdReference.Apply(parameter, buffer, gradient, options); break;
            case CpuDevice cpu: SgdSimd.Apply(cpu, parameter, buffer, gradient, new SgdRule(options)); break;
            case GpuDevice gpu: SgdGpu.Apply(gpu, stream, parameter, buffer, gradient, new SgdRule(options)); break;
        }
    }
}
