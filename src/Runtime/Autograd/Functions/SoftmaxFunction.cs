using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>softmax(input / temperature) over the last dimension, or its logarithm.</summary>
public sealed class SoftmaxFunction : Function
{
    private readonly float _temperature;
    private readonly bool _isLog;
    private readonly Variable _input;
    private readonly Variable _output;

    private SoftmaxFunction(Variable input, Variable output, float temperature, bool isLog)
    {
        (_temperature, _isLog) = (temperature, isLog);
        _input = input;
        _output = SaveExactly(output);
    }

    /// <summary>Probabilities.</summary>
    public static Variable Apply(Variable input, float temperature = 1) => Apply(input, temperature, isLog: false);

    /// <summary>Logarithms of probabilities.</summary>
    public static Variable ApplyLog(Variable input, float temperature = 1) => Apply(input, temperature, isLog: true);

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        if (_isLog) LogSoftmax.Backward(Stream, Target(_input), OutputGradient, _output.Value, _temperature);
        else Softmax.Backward(Stream, Target(_input), OutputGradient, _output.Value, _temperature);
    }

    private static Variable Apply(Variable input, float temperature, bool isLog)
    {
        ArgumentNullException.ThrowIfNull(input);
        GradientTape tape = input.Tape;
        Variable output = tape.Allocate(input.Shape);
        if (isLog) LogSoftmax.Forward(tape.Stream, output.Value, input.Value, temperature);
        else Softmax.Forward(tape.Stream, output.Value, input.Value, temperature);
        return tape.Records(input) ? tape.Record(output, new SoftmaxFunction(input, output, temperature, isLog)) : output;
    }
}
