using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// output = activation(input · weightᵀ + bias) over the last dimension. Bias and activation are part of the matmul where the activation's
/// gradient follows from its output.
/// </summary>
public sealed class LinearFunction : Function
{
    private readonly Activation _activation;
    private readonly Variable _input;
    private readonly Variable? _output;
    private readonly ParameterUse _weight;
    private readonly Parameter? _bias;

    private LinearFunction(Variable input, Variable output, Parameter weight, Parameter? bias, Activation activation)
    {
        _activation = activation;
        _bias = bias;
        _input = Save(input);
        if (activation != Activation.None) _output = Save(output);
        _weight = Use(weight);
        if (bias is not null) Use(bias);
    }

    /// <summary>Applies the layer.</summary>
    /// <param name="input">[..., in].</param>
    /// <param name="weight">[out, in].</param>
    /// <param name="bias">[out] or null.</param>
    /// <param name="activation">Applied at the end.</param>
    /// <returns>[..., out].</returns>
    /// <exception cref="ShapeException">The input's last dimension is not the weight's.</exception>
    public static Variable Apply(Variable input, Parameter weight, Parameter? bias, Activation activation = Activation.None)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(weight);
        if (input.Shape.DimensionCount < 1 || input.Shape[-1] != weight.Shape[1])
            throw new ShapeException($"linear '{weight.Name}': input {input.Shape} must end in {weight.Shape[1]}, the columns of the weight {weight.Shape}");
        GradientTape tape = input.Tape;
        bool records = tape.Records(input) || tape.Records(weight) || tape.Records(bias);
        if (records && ActivationFunction.NeedsInput(activation))
            return ApplyThenActivate(input, weight, bias, activation);
        Variable output = tape.Allocate(OutputShape(input.Shape, weight.Shape[0]));
        MatMul.Forward(tape.Stream, Rows(output.Value), Rows(input.Value), ((MatrixView)weight.Value).Transposed, new MatMulEpilogue(bias?.Value, activation));
        return records ? tape.Record(output, new LinearFunction(input, output, weight, bias, activation)) : output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        if (_output is not null)
        {
            Tensor target = RewriteOutputGradient(out Tensor old);
            Activations.Backward(Stream, target, old, null, _output.Value, _activation);
        }
        if (!_input.RequiresGradient) return;
        Tensor inputGradient = Target(_input, out bool accumulate);
        MatMul.Forward(Stream, Rows(inputGradient), Rows(OutputGradient), _weight.Value, accumulate: accumulate);
    }

    /// <inheritdoc/>
    protected internal override void BackwardWeight(GradientStore gradients)
    {
        if (gradients.TryTarget(Stream, _weight.Parameter, out Tensor weightGradient, out bool accumulate))
            MatMul.Forward(Stream, weightGradient, Rows(OutputGradient).Transposed, Rows(_input.Value), accumulate: accumulate);
        if (_bias is not null && gradients.TryTarget(Stream, _bias, out Tensor biasGradient, out accumulate))
            Reduction.Sum(Stream, biasGradient, OutputGradient, accumulate, Dimensions.Leading(OutputGradient.Shape.DimensionCount - 1));
    }

    private static Variable ApplyThenActivate(Variable input, Parameter weight, Parameter? bias, Activation activation)
    {
        Variable sum = Apply(input, weight, bias);
        Variable output = ActivationFunction.Apply(sum, activation);
        sum.Release();
        return output;
    }

    /// <summary>All dimensions but the last as the rows of one matrix.</summary>
    private static MatrixView Rows(Tensor tensor)
    {
        int columns = tensor.Shape.ColumnCount;
        return MatrixView.Strided(tensor, checked((int)tensor.Shape.RowCount), columns, columns);
    }

    private static Shape OutputShape(Shape input, int columns)
    {
        Span<int> extents = stackalloc int[input.DimensionCount];
        input.Dimensions.CopyTo(extents);
        extents[^1] = columns;
        return new Shape(extents);
    }
}
