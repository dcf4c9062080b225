using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Sum, mean or maximum over dimensions, which the output lacks. No dimensions named: all.</summary>
public sealed class ReductionFunction : Function
{
    private readonly Kind _kind;
    private readonly int[] _dimensions;
    private readonly Variable _input;
    private readonly Variable? _output;

    private ReductionFunction(Variable input, Variable output, Kind kind, ReadOnlySpan<int> dimensions)
    {
        _kind = kind;
        _dimensions = dimensions.ToArray();
        _input = input;
        if (kind != Kind.Max) return;
        SaveExactly(input);
        _output = SaveExactly(output);
    }

    private enum Kind
    {
        Sum,
        Mean,
        Max,
    }

    /// <summary>The sum over the dimensions.</summary>
    public static Variable Sum(Variable input, params ReadOnlySpan<int> dimensions) => Apply(input, Kind.Sum, dimensions);

    /// <summary>The mean over the dimensions.</summary>
    public static Variable Mean(Variable input, params ReadOnlySpan<int> dimensions) => Apply(input, Kind.Mean, dimensions);

    /// <summary>The maximum over the dimensions; its gradient goes to the first of equal elements.</summary>
    public static Variable Max(Variable input, params ReadOnlySpan<int> dimensions) => Apply(input, Kind.Max, dimensions);

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        Tensor target = Target(_input);
        if (_kind == Kind.Max)
        {
            Reduction.MaxBackward(Stream, target, OutputGradient, _input.Value, _output!.Value, _dimensions);
            return;
        }
        float scale = _kind == Kind.Sum ? 1 : (float)((double)Output.Shape.ElementCount / _input.Shape.ElementCount);
        Reduction.Broadcast(Stream, target, OutputGradient, scale, _dimensions);
    }

    private static Variable Apply(Variable input, Kind kind, ReadOnlySpan<int> dimensions)
    {
        ArgumentNullException.ThrowIfNull(input);
        GradientTape tape = input.Tape;
        Variable output = tape.Allocate(ReducedShape(input.Shape, dimensions));
        switch (kind)
        {
            case Kind.Sum: Reduction.Sum(tape.Stream, output.Value, input.Value, dimensions); break;
            case Kind.Mean: Reduction.Mean(tape.Stream, output.Value, input.Value, dimensions); break;
            default: Reduction.Max(tape.Stream, output.Value, input.Value, dimensions); break;
        }
        return tape.Records(input) ? tape.Record(output, new ReductionFunction(input, output, kind, dimensions)) : output;
    }

    private static Shape ReducedShape(Shape shape, ReadOnlySpan<int> dimensions)
    {
        Span<int> kept = stackalloc int[Shape.MaxDimensionCount];
        int count = 0;
        for (int dimension = 0; dimension < shape.DimensionCount; dimension++)
        {
            bool isReduced = dimensions.IsEmpty || dimensions.Contains(dimension) || dimensions.Contains(dimension - shape.DimensionCount);
            if (!isReduced) kept[count++] = shape[dimension];
        }
        return new Shape(kept[..count]);
    }
}
