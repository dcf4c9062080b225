using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Batch normalisation (Ioffe and Szegedy 2015, arXiv 1502.03167) of [N, C] or NCHW. In training it uses the batch's statistics and defers
/// the update of the running ones to <see cref="GradientTape.ApplyStateUpdates"/>; in evaluation it uses the running ones.
/// </summary>
public sealed class BatchNormFunction : Function
{
    private readonly Variable _input;
    private readonly Variable _mean;
    private readonly Variable _inverseStd;
    private readonly ParameterUse _scale;
    private readonly Parameter _shift;
    private Variable? _scaleGradient;
    private Variable? _shiftGradient;

    private BatchNormFunction(Variable input, Variable mean, Variable inverseStd, Parameter scale, Parameter shift)
    {
        _input = Save(input);
        _mean = SaveAlone(mean);
        _inverseStd = SaveAlone(inverseStd);
        _shift = shift;
        _scale = Use(scale);
        Use(shift);
    }

    /// <summary>Normalises each channel, then scales and shifts it. All of scale, shift and running statistics are [C].</summary>
    public static Variable Apply(Variable input, Parameter scale, Parameter shift, StateTensor runningMean, StateTensor runningVariance, float momentum = 0.1f, float epsilon = 1e-5f)
    {
        ArgumentNullException.ThrowIfNull(input);
        ArgumentNullException.ThrowIfNull(scale);
        ArgumentNullException.ThrowIfNull(shift);
        ArgumentNullException.ThrowIfNull(runningMean);
        ArgumentNullException.ThrowIfNull(runningVariance);
        GradientTape tape = input.Tape;
        Variable output = tape.Allocate(input.Shape);
        if (!tape.IsTraining)
        {
            BatchNorm.ForwardInference(tape.Stream, output.Value, input.Value, runningMean.Value, runningVariance.Value, scale.Value, shift.Value, epsilon);
            return output;
        }
        Variable mean = tape.Allocate(scale.Shape), inverseStd = tape.Allocate(scale.Shape);
        BatchNorm.Forward(tape.Stream, output.Value, mean.Value, inverseStd.Value, input.Value, scale.Value, shift.Value, epsilon);
        long elementsPerChannel = input.Shape.ElementCount / Math.Max(1, scale.Shape.ElementCount);
        tape.Defer(new RunningUpdate(runningMean, runningVariance, mean, inverseStd, elementsPerChannel, momentum, epsilon));
        if (tape.Records(input) || tape.Records(scale) || tape.Records(shift))
            return tape.Record(output, new BatchNormFunction(input, mean, inverseStd, scale, shift));
        mean.Release();
        inverseStd.Release();
        return output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        // One kernel gives all three gradients; the parameters' wait for BackwardWeight.
        GradientTape tape = Output.Tape;
        _scaleGradient = SaveAlone(tape.Allocate(_shift.Shape));
        _shiftGradient = SaveAlone(tape.Allocate(_shift.Shape));
        if (_input.RequiresGradient)
        {
            Tensor target = TargetInPlace(_input, out Tensor outputGradient);
            Backward(target, outputGradient);
            return;
        }
        using Tensor unwanted = Tensor.Allocate(Stream, _input.Shape);
        Backward(unwanted, OutputGradient);
    }

    /// <inheritdoc/>
    protected internal override void BackwardWeight(GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        if (gradients.TryTarget(Stream, _scale.Parameter, out Tensor scale, out bool accumulate)) Put(_scaleGradient!.Value, scale, accumulate);
        if (gradients.TryTarget(Stream, _shift, out Tensor shift, out accumulate)) Put(_shiftGradient!.Value, shift, accumulate);
    }

    private void Backward(Tensor inputGradient, Tensor outputGradient) =>
        BatchNorm.Backward(Stream, inputGradient, _scaleGradient!.Value, _shiftGradient!.Value, outputGradient, _input.Value, _mean.Value, _inverseStd.Value, _scale.Value);

    private sealed class RunningUpdate : IStateUpdate
    {
        private readonly StateTensor _runningMean, _runningVariance;
        private readonly Variable _mean, _inverseStd;
        private readonly long _elementsPerChannel;
        private readonly float _momentum, _epsilon;

        public RunningUpdate(StateTensor runningMean, StateTensor runningVariance, Variable mean, Variable inverseStd, long elementsPerChannel, float momentum, float epsilon)
        {
            (_runningMean, _runningVariance, _mean, _inverseStd) = (runningMean, runningVariance, mean, inverseStd);
            (_elementsPerChannel, _momentum, _epsilon) = (elementsPerChannel, momentum, epsilon);
            mean.RetainForBackward();
            inverseStd.RetainForBackward();
        }

        public void Apply(ExecutionStream stream)
        {
            BatchNorm.UpdateRunning(stream, _runningMean.Value, _runningVariance.Value, _mean.Value, _inverseStd.Value, _elementsPerChannel, _momentum, _epsilon);
            _mean.ReleaseFromBackward();
            _inverseStd.ReleaseFromBackward();
        }
    }
}
