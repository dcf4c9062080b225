using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The largest element of each window of an NCHW input.</summary>
public sealed class MaxPool2dFunction : Function
{
    private readonly Pooling2dOptions _options;
    private readonly Variable _input;
    private readonly Variable _indices;

    private MaxPool2dFunction(Variable input, Variable indices, in Pooling2dOptions options)
    {
        _options = options;
        _input = input;
        _indices = SaveAlone(indices);
    }

    /// <summary>Pools.</summary>
    public static Variable Apply(Variable input, in Pooling2dOptions options)
    {
        ArgumentNullException.ThrowIfNull(input);
        GradientTape tape = input.Tape;
        Shape shape = options.OutputShape(input.Shape);
        Variable output = tape.Allocate(shape), indices = tape.Allocate(shape, DType.I32);
        Pooling2d.MaxForward(tape.Stream, output.Value, indices.Value, input.Value, options);
        if (tape.Records(input)) return tape.Record(output, new MaxPool2dFunction(input, indices, options));
        indices.Release();
        return output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput() => Pooling2d.MaxBackward(Stream, Target(_input), OutputGradient, _indices.Value, _options);
}
