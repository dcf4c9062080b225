using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>left + right or left - right. The right operand may have the innermost dimensions only: it is repeated.</summary>
public sealed class AddFunction : Function
{
    private readonly Variable _left;
    private readonly Variable _right;
    private readonly bool _subtracts;

    private AddFunction(Variable left, Variable right, bool subtracts)
    {
        _left = left;
        _right = right;
        _subtracts = subtracts;
    }

    /// <summary>left + right.</summary>
    public static Variable Apply(Variable left, Variable right) => Apply(left, right, subtracts: false);

    /// <summary>left - right.</summary>
    public static Variable Subtract(Variable left, Variable right) => Apply(left, right, subtracts: true);

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        if (_right.RequiresGradient) GiveRight();
        if (_left.RequiresGradient) PassOutputGradient(_left);
    }

    private static Variable Apply(Variable left, Variable right, bool subtracts)
    {
        ArgumentNullException.ThrowIfNull(left);
        ArgumentNullException.ThrowIfNull(right);
        GradientTape tape = left.Tape;
        Variable output = tape.Allocate(left.Shape);
        if (subtracts) Elementwise.Subtract(tape.Stream, output.Value, left.Value, right.Value);
        else Elementwise.Add(tape.Stream, output.Value, left.Value, right.Value);
        return tape.Records(left) || tape.Records(right) ? tape.Record(output, new AddFunction(left, right, subtracts)) : output;
    }

    private void GiveRight()
    {
        if (_right.Shape == _left.Shape && !_subtracts)
        {
            ShareOutputGradient(_right);
            return;
        }
        Tensor target = Target(_right);
        if (_right.Shape == _left.Shape)
        {
            Elementwise.Scale(Stream, target, OutputGradient, -1);
            return;
        }
        Reduction.Sum(Stream, target, OutputGradient, Dimensions.Leading(_left.Shape.DimensionCount - _right.Shape.DimensionCount));
        if (_subtracts) Elementwise.Scale(Stream, target, target, -1);
    }
}
