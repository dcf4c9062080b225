using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>left · right, element by element. The right operand may have the innermost dimensions only: it is repeated.</summary>
public sealed class MultiplyFunction : Function
{
    private readonly Variable _left;
    private readonly Variable _right;

    private MultiplyFunction(Variable left, Variable right)
    {
        _left = Save(left);
        _right = Save(right);
    }

    /// <summary>left · right.</summary>
    public static Variable Apply(Variable left, Variable right)
    {
        ArgumentNullException.ThrowIfNull(left);
        ArgumentNullException.ThrowIfNull(right);
        GradientTape tape = left.Tape;
        Variable output = tape.Allocate(left.Shape);
        Elementwise.Multiply(tape.Stream, output.Value, left.Value, right.Value);
        return tape.Records(left) || tape.Records(right) ? tape.Record(output, new MultiplyFunction(left, right)) : output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        if (_right.RequiresGradient) GiveRight();
        if (!_left.RequiresGradient) return;
        Tensor target = TargetInPlace(_left, out Tensor outputGradient);
        Elementwise.Multiply(Stream, target, outputGradient, _right.Value);
    }

    private void GiveRight()
    {
        if (_right.Shape == _left.Shape)
        {
            Elementwise.Multiply(Stream, Target(_right), OutputGradient, _left.Value);
            return;
        }
        using Tensor product = Tensor.Allocate(Stream, _left.Shape);
        Elementwise.Multiply(Stream, product, OutputGradient, _left.Value);
        Reduction.Sum(Stream, Target(_right), product, Dimensions.Leading(_left.Shape.DimensionCount - _right.Shape.DimensionCount));
    }
}
