using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Dropout in training, nothing in evaluation. The mask is drawn anew from its key in the backward pass, never stored.</summary>
public sealed class DropoutFunction : Function
{
    private readonly float _probability;
    private readonly RandomKey _key;
    private readonly Variable _input;

    private DropoutFunction(Variable input, float probability, in RandomKey key)
    {
        (_probability, _key) = (probability, key);
        _input = input;
    }

    /// <summary>Drops elements with the probability and scales the others by 1 / (1 - probability).</summary>
    /// <param name="input">Dimension 0 counts samples.</param>
    /// <param name="probability">In [0, 1].</param>
    /// <param name="path">Names the place in the network, from <see cref="RandomPath.Of"/>.</param>
    public static Variable Apply(Variable input, float probability, uint path)
    {
        ArgumentNullException.ThrowIfNull(input);
        GradientTape tape = input.Tape;
        if (!tape.IsTraining || probability == 0) return input;
        RandomKey key = new(tape.Context.Seed, tape.Context.Step, path, tape.Context.FirstSample);
        Variable output = tape.Allocate(input.Shape);
        Dropout.Forward(tape.Stream, output.Value, input.Value, probability, key);
        return tape.Records(input) ? tape.Record(output, new DropoutFunction(input, probability, key)) : output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        Tensor target = TargetInPlace(_input, out Tensor outputGradient);
        Dropout.Backward(Stream, target, outputGradient, _probability, _key);
    }
}
