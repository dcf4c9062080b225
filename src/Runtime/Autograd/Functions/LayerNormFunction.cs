using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Layer normalisation over the last dimension (Ba, Kiros, Hinton 2016, arXiv 1607.06450).</summary>
public sealed class LayerNormFunction : Function
{
    private readonly Variable _input;
    private readonly Variable _mean;
    private readonly Variable _inverseStd;
    private readonly ParameterUse? _scale;
    private readonly Parameter? _shift;

    private LayerNormFunction(Variable input, Variable mean, Variable inverseStd, Parameter? scale, Parameter? shift)
    {
        _input = Save(input);
        _mean = SaveAlone(mean);
        _inverseStd = SaveAlone(inverseStd);
        _shift = shift;
        if (scale is not null) _scale = Use(scale);
        if (shift is not null) Use(shift);
    }

    /// <summary>Normalises each row of [..., C], then scales and shifts by [C].</summary>
    public static Variable Apply(Variable input, Parameter? scale, Parameter? shift, float epsilon = 1e-5f)
    {
        ArgumentNullException.ThrowIfNull(input);
        GradientTape tape = input.Tape;
        Shape rows = new(checked((int)input.Shape.RowCount));
        Variable output = tape.Allocate(input.Shape), mean = tape.Allocate(rows), inverseStd = tape.Allocate(rows);
        LayerNorm.Forward(tape.Stream, output.Value, mean.Value, inverseStd.Value, input.Value, scale?.Value, shift?.Value, epsilon);
        if (tape.Records(input) || tape.Records(scale) || tape.Records(shift))
            return tape.Record(output, new LayerNormFunction(input, mean, inverseStd, scale, shift));
        mean.Release();
        inverseStd.Release();
        return output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        if (_input.RequiresGradient)
            LayerNorm.BackwardInput(Stream, Target(_input), OutputGradient, _input.Value, _mean.Value, _inverseStd.Value, _scale?.Value);
    }

    /// <inheritdoc/>
    protected internal override void BackwardWeight(GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        Shape channels = new(_input.Shape[-1]);
        // The kernel gives both gradients together: what nobody wants goes to a scratch tensor, as does all if the two differ in accumulating.
        (Tensor scaleGradient, Tensor shiftGradient) = (null!, null!);
        (bool addsScale, bool addsShift) = (false, false);
        bool wantsScale = _scale is { } scale && gradients.TryTarget(Stream, scale.Parameter, out scaleGradient, out addsScale);
        bool wantsShift = _shift is not null && gradients.TryTarget(Stream, _shift, out shiftGradient, out addsShift);
        if (!wantsScale && !wantsShift) return;
        if (wantsScale && wantsShift && addsScale == addsShift)
        {
            LayerNorm.BackwardWeight(Stream, scaleGradient, shiftGradient, OutputGradient, _input.Value, _mean.Value, _inverseStd.Value, addsScale);
            return;
        }
        using Tensor scratchScale = Tensor.Allocate(Stream, channels);
        using Tensor scratchShift = Tensor.Allocate(Stream, channels);
        LayerNorm.BackwardWeight(Stream, scratchScale, scratchShift, OutputGradient, _input.Value, _mean.Value, _inverseStd.Value);
        if (wantsScale) Put(scratchScale, scaleGradient, addsScale);
        if (wantsShift) Put(scratchShift, shiftGradient, addsShift);
    }
}
