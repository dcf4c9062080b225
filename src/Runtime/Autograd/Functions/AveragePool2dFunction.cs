using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The mean of each window of an NCHW input; cells of the padding do not count.</summary>
public sealed class AveragePool2dFunction : Function
{
    private readonly Pooling2dOptions _options;
    private readonly Variable _input;

    private AveragePool2dFunction(Variable input, in Pooling2dOptions options)
    {
        _options = options;
        _input = input;
    }

    /// <summary>Pools.</summary>
    public static Variable Apply(Variable input, in Pooling2dOptions options)
    {
        ArgumentNullException.ThrowIfNull(input);
        GradientTape tape = input.Tape;
        Variable output = tape.Allocate(options.OutputShape(input.Shape));
        Pooling2d.AverageForward(tape.Stream, output.Value, input.Value, options);
        return tape.Records(input) ? tape.Record(output, new AveragePool2dFunction(input, options)) : output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput() => Pooling2d.AverageBackward(Stream, Target(_input), OutputGradient, _options);
}
