namespace DistTrain.Kernels;

/// <summary>
/// One step of Adam (Kingma and Ba 2015, arXiv 1412.6980) or AdamW in one pass over memory, by PyTorch's rule:
/// <code>
/// decoupled:  parameter = (1 - LearningRate·λ)·parameter,  g = gradient
/// otherwise:  g = gradient + λ·parameter
/// m = β1·m + (1 - β1)·g
/// v = β2·v + (1 - β2)·g²
/// parameter = parameter - LearningRate / (1 - β1^Step) · m / (√v / √(1 - β2^Step) + ε)
/// </code>
/// </summary>
public static class AdamUpdate
{
    private const string Operation = "adam update";

    /// <summary>Updates parameter and both moments in place; all f32 of one shape. The moments begin as zeros. Enqueues and returns.</summary>
    /// <exception cref="ShapeException">The shapes differ, or the step's number is below 1.</exception>
    public static void Apply(ExecutionStream stream, Tensor parameter, Tensor firstMoment, Tensor secondMoment, Tensor gradient, in AdamOptions options)
    {
        Check.Operand(Operation, stream, parameter);
        Check.Operand(Operation, stream, firstMoment, parameter.Shape);
        Check.Operand(Operation, stream, secondMoment, parameter.Shape);
        Check.Operand(Operation, stream, gradient, parameter.Shape);
        Check.Rule(Operation, options.Step >= 1, $"steps are numbered from 1, found {options.Step}");
        if (parameter.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice { InstructionSet: InstructionSet.Reference }: AdamReference.Apply(parameter, firstMoment, secondMoment, gradient, options); break;
            case CpuDevice cpu: AdamSimd.Apply(cpu, parameter, firstMoment, secondMoment, gradient, new AdamRule(options)); break;
            case GpuDevice gpu: AdamGpu.Apply(gpu, stream, parameter, firstMoment, secondMoment, gradient, new AdamRule(options)); break;
        }
    }
}
