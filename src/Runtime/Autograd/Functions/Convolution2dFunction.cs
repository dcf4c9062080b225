using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>output = activation(convolution(input, weight) + bias); the activation is part of the kernel where its gradient follows from its output.</summary>
public sealed class Convolution2dFunction : Function
{
    private readonly Convolution2dOptions _options;
    private readonly Activation _activation;
    private readonly Variable _input;
    private readonly Variable? _output;
    private readonly ParameterUse _weight;
    private readonly Parameter? _bias;

    private Convolution2dFunction(Variable input, Variable output, Parameter weight, Parameter? bias, in Convolution2dOptions options, Activation activation)
    {
        _options = options;
        _activation = activation;
        _bias = bias;
        _input = Save(input);
        if (activation != Activation.None) _output = Save(output);
        _weight = Use(weight);
        if (bias is not null) Use(bias);
    }

    /// <summary>Applies the layer.</summary>
    /// <param name="input">NCHW.</param>
    /// <param name="weight">OIHW.</param>
    /// <param name="bias">[O] or null.</param>
    /// <param name="options">Strides, paddings, groups.</param>
    /// <param name="activation">Applied at the end.</param>
    public static Variable Apply(Variable input, Parameter weight, Parameter? bias, in Convolution2dOptions options, Activation activation = Activation.None)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(weight);
        GradientTape tape = input.Tape;
        bool records = tape.Records(input) || tape.Records(weight) || tape.Records(bias);
        if (records && ActivationFunction.NeedsInput(activation)) return ApplyThenActivate(input, weight, bias, options, activation);
        Variable output = tape.Allocate(options.OutputShape(input.Shape, weight.Shape));
        Convolution2d.Forward(tape.Stream, output.Value, tape.ComputesRounded ? input.Operand : input.Value, tape.Operand(new ParameterUse(weight)), bias?.Value, options, activation);
        return records ? tape.Record(output, new Convolution2dFunction(input, output, weight, bias, options, activation)) : output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        if (_output is not null)
        {
            Tensor target = RewriteOutputGradient(out Tensor old);
            Activations.Backward(Stream, target, old, null, _output.Value, _activation);
            _output.StoreAway();
        }
        if (_input.RequiresGradient) Convolution2d.BackwardInput(Stream, Target(_input), OutputGradient, Output.Tape.Operand(_weight), _options);
    }

    /// <inheritdoc/>
    protected internal override void BackwardWeight(GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        Tensor? bias = null;
        bool addsBias = false;
        if (_bias is not null && gradients.TryTarget(Stream, _bias, out Tensor biasGradient, out addsBias)) bias = biasGradient;
        bool wantsWeight = gradients.TryTarget(Stream, _weight.Parameter, out Tensor weight, out bool addsWeight);
        bool isJoint = wantsWeight && addsBias == addsWeight;
        if (wantsWeight) Convolution2d.BackwardWeight(Stream, weight, isJoint ? bias : null, OutputGradient, _input.Operand, _options, addsWeight);
        if (bias is not null && !isJoint) Reduction.Sum(Stream, bias, OutputGradient, addsBias, 0, 2, 3);
    }

    private static Variable ApplyThenActivate(Variable input, Parameter weight, Parameter? bias, in Convolution2dOptions options, Activation activation)
    {
        Variable sum = Apply(input, weight, bias, options);
        Variable output = ActivationFunction.Apply(sum, activation);
        sum.Release();
        return output;
    }
}
