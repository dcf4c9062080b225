using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A parameter as an operand of any function: whatever gradient arrives goes to the store.</summary>
public sealed class ParameterFunction : Function
{
    private readonly ParameterUse _parameter;

    private ParameterFunction(Parameter parameter) => _parameter = Use(parameter);

    /// <summary>The parameter's value as a variable on the tape.</summary>
    public static Variable Apply(GradientTape tape, Parameter parameter)
    {
        ArgumentNullException.ThrowIfNull(tape);
        ArgumentNullException.ThrowIfNull(parameter);
        Variable output = tape.Input(parameter.Value);
        return tape.Records(parameter) ? tape.Record(output, new ParameterFunction(parameter)) : output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
    }

    /// <inheritdoc/>
    protected internal override void BackwardWeight(GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        if (gradients.TryTarget(Stream, _parameter.Parameter, out Tensor target, out bool accumulate)) Put(OutputGradient, target, accumulate);
    }
}
