using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The same elements under another shape; nothing is copied.</summary>
public sealed class ReshapeFunction : Function
{
    private readonly Variable _input;

    private ReshapeFunction(Variable input) => _input = input;

    /// <summary>Views the input under another shape of as many elements.</summary>
    public static Variable Apply(Variable input, Shape shape)
    {
        ArgumentNullException.ThrowIfNull(input);
        GradientTape tape = input.Tape;
        Variable output = tape.Adopt(input.Value.Reshape(shape));
        output.Views(input);
        return tape.Records(input) ? tape.Record(output, new ReshapeFunction(input)) : output;
    }

    /// <summary>Joins the dimensions from <paramref name="startDimension"/> on into one.</summary>
    public static Variable Flatten(Variable input, int startDimension = 1)
    {
        ArgumentNullException.ThrowIfNull(input);
        Shape shape = input.Shape;
        if (startDimension < 0 || startDimension >= shape.DimensionCount)
            throw new ShapeException($"flatten: dimension {startDimension} is not one of {shape}");
        Span<int> extents = stackalloc int[startDimension + 1];
        shape.Dimensions[..startDimension].CopyTo(extents);
        extents[^1] = checked((int)shape.ElementCountOf(startDimension, shape.DimensionCount));
        return Apply(input, new Shape(extents));
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput() => PassOutputGradient(_input);
}
