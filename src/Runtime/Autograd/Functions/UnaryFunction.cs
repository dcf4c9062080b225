using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Exponential, logarithm, square root, clamping and scaling, element by element.</summary>
public sealed class UnaryFunction : Function
{
    private readonly Kind _kind;
    private readonly float _first;
    private readonly float _second;
    private readonly Variable _input;
    private readonly Variable? _saved;

    private UnaryFunction(Variable input, Variable output, Kind kind, float first, float second)
    {
        (_kind, _first, _second) = (kind, first, second);
        _input = input;
        _saved = kind switch
        {
            Kind.Exp or Kind.Sqrt => Save(output),
            Kind.Log => Save(input),
            Kind.Clamp => SaveExactly(input),
            _ => null,
        };
    }

    private enum Kind
    {
        Exp,
        Log,
        Sqrt,
        Clamp,
        Scale,
    }

    /// <summary>e^input.</summary>
    public static Variable Exp(Variable input) => Apply(input, Kind.Exp);

    /// <summary>ln input.</summary>
    public static Variable Log(Variable input) => Apply(input, Kind.Log);

    /// <summary>√input.</summary>
    public static Variable Sqrt(Variable input) => Apply(input, Kind.Sqrt);

    /// <summary>The input, at least <paramref name="min"/> and at most <paramref name="max"/>; its gradient is 0 outside.</summary>
    public static Variable Clamp(Variable input, float min, float max) => Apply(input, Kind.Clamp, min, max);

    /// <summary>factor · input.</summary>
    public static Variable Scale(Variable input, float factor) => Apply(input, Kind.Scale, factor);

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        Tensor target = TargetInPlace(_input, out Tensor outputGradient);
        switch (_kind)
        {
            case Kind.Exp: Elementwise.ExpBackward(Stream, target, outputGradient, _saved!.Value); break;
            case Kind.Log: Elementwise.LogBackward(Stream, target, outputGradient, _saved!.Value); break;
            case Kind.Sqrt: Elementwise.SqrtBackward(Stream, target, outputGradient, _saved!.Value); break;
            case Kind.Clamp: Elementwise.ClampBackward(Stream, target, outputGradient, _saved!.Value, _first, _second); break;
            default: Elementwise.Scale(Stream, target, outputGradient, _first); break;
        }
    }

    private static Variable Apply(Variable input, Kind kind, float first = 0, float second = 0)
    {
        ArgumentNullException.ThrowIfNull(input);
        GradientTape tape = input.Tape;
        Variable output = tape.Allocate(input.Shape);
        switch (kind)
        {
            case Kind.Exp: Elementwise.Exp(tape.Stream, output.Value, input.Value); break;
            case Kind.Log: Elementwise.Log(tape.Stream, output.Value, input.Value); break;
            case Kind.Sqrt: Elementwise.Sqrt(tape.Stream, output.Value, input.Value); break;
            case Kind.Clamp: Elementwise.Clamp(tape.Stream, output.Value, input.Value, first, second); break;
            default: Elementwise.Scale(tape.Stream, output.Value, input.Value, first); break;
        }
        return tape.Records(input) ? tape.Record(output, new UnaryFunction(input, output, kind, first, second)) : output;
    }
}
