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
    private readonly Range _rows;

    private LinearFunction(Variable input, Variable output, Parameter weight, Parameter? bias, Activation activation, Range rows)
    {
        _activation = activation;
        _rows = rows;
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
    /// <param name="rows">The rows of weight and bias to use, as of a projection that is part of a larger parameter; all if default.</param>
    /// <returns>[..., rows].</returns>
    /// <exception cref="ShapeException">The input's last dimension is not the weight's.</exception>
    public static Variable Apply(Variable input, Parameter weight, Parameter? bias, Activation activation = Activation.None, Range? rows = null)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(weight);
        if (input.Shape.DimensionCount < 1 || input.Shape[-1] != weight.Shape[1])
            throw new ShapeException($"linear '{weight.Name}': input {input.Shape} must end in {weight.Shape[1]}, the columns of the weight {weight.Shape}");
        GradientTape tape = input.Tape;
        Range used = rows ?? Range.All;
        (_, int outputs) = used.GetOffsetAndLength(weight.Shape[0]);
        bool records = tape.Records(input) || tape.Records(weight) || tape.Records(bias);
        if (records && ActivationFunction.NeedsInput(activation))
            return ApplyThenActivate(input, weight, bias, activation, used);
        Variable output = tape.Allocate(OutputShape(input.Shape, outputs));
        using Tensor? biasPart = bias is null ? null : Part(bias.Value, used);
        MatMul.Forward(tape.Stream, Rows(output.Value), Rows(input.Operand), Rows(tape.Operand(new ParameterUse(weight)), used).Transposed, new MatMulEpilogue(biasPart, activation));
        return records ? tape.Record(output, new LinearFunction(input, output, weight, bias, activation, used)) : output;
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
        if (!_input.RequiresGradient) return;
        Tensor inputGradient = Target(_input, out bool accumulate);
        MatMul.Forward(Stream, Rows(inputGradient), Rows(OutputGradient), Rows(Output.Tape.Operand(_weight), _rows), accumulate: accumulate);
    }

    /// <inheritdoc/>
    protected internal override void BackwardWeight(GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        if (TryTarget(gradients, _weight.Parameter, out Tensor weightGradient, out bool accumulate))
            MatMul.Forward(Stream, Rows(weightGradient, _rows), Rows(OutputGradient).Transposed, Rows(_input.Operand), accumulate: accumulate);
        if (_bias is null || !TryTarget(gradients, _bias, out Tensor biasGradient, out accumulate)) return;
        using Tensor biasPart = Part(biasGradient, _rows);
        Reduction.Sum(Stream, biasPart, OutputGradient, accumulate, Dimensions.Leading(OutputGradient.Shape.DimensionCount - 1));
    }

    /// <summary>As the store's, where rows that this function does not use must become zero first.</summary>
    private bool TryTarget(GradientStore gradients, Parameter parameter, out Tensor gradient, out bool accumulate)
    {
        if (!gradients.TryTarget(Stream, parameter, out gradient, out accumulate)) return false;
        if (accumulate || _rows.Equals(Range.All)) return true;
        gradient.Clear(Stream);
        return accumulate = true;
    }

    private static Variable ApplyThenActivate(Variable input, Parameter weight, Parameter? bias, Activation activation, Range rows)
    {
        Variable sum = Apply(input, weight, bias, rows: rows);
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

    /// <summary>Some rows of a matrix [rows, columns].</summary>
    private static MatrixView Rows(Tensor matrix, Range rows)
    {
        (int first, int count) = rows.GetOffsetAndLength(matrix.Shape[0]);
        int columns = matrix.Shape[1];
        return MatrixView.Strided(matrix, count, columns, columns, offset: (long)first * columns);
    }

    private static Tensor Part(Tensor vector, Range rows)
    {
        (int first, int count) = rows.GetOffsetAndLength(vector.Shape[0]);
        return vector.Slice(first, count);
    }

    private static Shape OutputShape(Shape input, int columns)
    {
        Span<int> extents = stackalloc int[input.DimensionCount];
        input.Dimensions.CopyTo(extents);
        extents[^1] = columns;
        return new Shape(extents);
    }
}
