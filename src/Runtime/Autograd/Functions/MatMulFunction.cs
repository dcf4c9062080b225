using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>left · right, each a matrix or a batch of equally many.</summary>
public sealed class MatMulFunction : Function
{
    private readonly Variable _left;
    private readonly Variable _right;

    private MatMulFunction(Variable left, Variable right)
    {
        _left = Save(left);
        _right = Save(right);
    }

    /// <summary>left [..., m, k] · right [..., k, n], both with the same leading dimensions.</summary>
    public static Variable Apply(Variable left, Variable right)
    {
        ArgumentNullException.ThrowIfNull(left);
        ArgumentNullException.ThrowIfNull(right);
        GradientTape tape = left.Tape;
        Variable output = tape.Allocate(ProductShape(left.Shape, right.Shape));
        MatMul.Forward(tape.Stream, output.Value, left.Operand, right.Operand);
        return tape.Records(left) || tape.Records(right) ? tape.Record(output, new MatMulFunction(left, right)) : output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        if (_left.RequiresGradient)
        {
            Tensor target = Target(_left, out bool accumulate);
            MatMul.Forward(Stream, target, OutputGradient, ((MatrixView)_right.Operand).Transposed, accumulate: accumulate);
        }
        if (_right.RequiresGradient)
        {
            Tensor target = Target(_right, out bool accumulate);
            MatMul.Forward(Stream, target, ((MatrixView)_left.Operand).Transposed, OutputGradient, accumulate: accumulate);
        }
    }

    private static Shape ProductShape(Shape left, Shape right)
    {
        int count = left.DimensionCount;
        bool fits = count >= 2 && count == right.DimensionCount && left[-1] == right[-2] && left.Dimensions[..^2].SequenceEqual(right.Dimensions[..^2]);
        if (!fits) throw new ShapeException($"matmul: left {left} and right {right} must be [..., m, k] and [..., k, n] with the same leading dimensions");
        Span<int> extents = stackalloc int[count];
        left.Dimensions.CopyTo(extents);
        extents[^1] = right[-1];
        return new Shape(extents);
    }
}
