using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>activation(input), element by element.</summary>
public sealed class ActivationFunction : Function
{
    private readonly Activation _activation;
    private readonly Variable _input;
    private readonly Variable _saved;

    private ActivationFunction(Variable input, Variable output, Activation activation)
    {
        _activation = activation;
        _input = input;
        _saved = Save(NeedsInput(activation) ? input : output);
    }

    /// <summary>Applies the activation.</summary>
    public static Variable Apply(Variable input, Activation activation)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (activation == Activation.None) return input;
        GradientTape tape = input.Tape;
        Variable output = tape.Allocate(input.Shape);
        Activations.Forward(tape.Stream, output.Value, input.Value, activation);
        return tape.Records(input) ? tape.Record(output, new ActivationFunction(input, output, activation)) : output;
    }

    /// <summary>True if the gradient is a function of the input; else it is one of the output, which lets the activation be fused into the operation before it.</summary>
    internal static bool NeedsInput(Activation activation) => activation is Activation.Gelu or Activation.GeluTanh or Activation.Silu;

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        Tensor target = TargetInPlace(_input, out Tensor outputGradient);
        (Tensor? input, Tensor? output) = NeedsInput(_activation) ? (_saved.Value, (Tensor?)null) : (null, _saved.Value);
        Activations.Backward(Stream, target, outputGradient, input, output, _activation);
    }
}
