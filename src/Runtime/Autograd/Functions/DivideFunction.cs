using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>left / right, element by element, both of one shape.</summary>
public sealed class DivideFunction : Function
{
    private readonly Variable _left;
    private readonly Variable _right;
    private readonly Variable _output;

    private DivideFunction(Variable left, Variable right, Variable output)
    {
        _left = left;
        _right = Save(right);
        _output = Save(output);
    }

    /// <summary>left / right.</summary>
    public static Variable Apply(Variable left, Variable right)
    {
        ArgumentNullException.ThrowIfNull(left);
        ArgumentNullException.ThrowIfNull(right);
        if (left.Shape != right.Shape) throw new ShapeException($"divide: left {left.Shape} and right {right.Shape} must be equal");
        GradientTape tape = left.Tape;
        Variable output = tape.Allocate(left.Shape);
        Elementwise.Divide(tape.Stream, output.Value, left.Value, right.Value);
        return tape.Records(left) || tape.Records(right) ? tape.Record(output, new DivideFunction(left, right, output)) : output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        if (_left.RequiresGradient) Elementwise.DivideBackward(Stream, Target(_left), null, OutputGradient, _right.Value, _output.Value);
        if (_right.RequiresGradient) Elementwise.DivideBackward(Stream, null, Target(_right), OutputGradient, _right.Value, _output.Value);
    }
}
