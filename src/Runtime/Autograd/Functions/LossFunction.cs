using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A scalar loss whose kernel computed the gradient of its input together with its value.</summary>
public sealed class LossFunction : Function
{
    private readonly Variable _input;
    private readonly Variable _gradient;

    private LossFunction(Variable input, Variable gradient)
    {
        _input = input;
        _gradient = SaveAlone(gradient);
    }

    /// <summary>Set where the loss is the root of the backward pass: then no kernel multiplies unless this is other than 1.</summary>
    internal float? RootScale { get; set; }

    /// <summary>Records that <paramref name="loss"/> (one element) has the gradient <paramref name="inputGradient"/> with respect to <paramref name="input"/>.</summary>
    public static Variable Record(Variable loss, Variable input, Variable inputGradient)
    {
        ArgumentNullException.ThrowIfNull(input);
        return input.Tape.Record(loss, new LossFunction(input, inputGradient));
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        Tensor gradient = _gradient.Value;
        Give(_input, _gradient);
        if (RootScale is null) Elementwise.Multiply(Stream, gradient, gradient, OutputGradient);
        else if (RootScale != 1f) Elementwise.Scale(Stream, gradient, gradient, RootScale.Value);
    }
}
