using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Batch normalisation in training with the statistics of the batch of all replicas: as <see cref="BatchNormFunction"/>, but replicas gather the moments of their parts in the forward pass and
/// add the two sums of the backward pass. Every replica runs it, also over no samples, or the others wait in vain.
/// </summary>
internal sealed class DividedBatchNormFunction : Function
{
    private readonly Variable _input;
    private readonly Variable _mean;
    private readonly Variable _inverseStd;
    private readonly Variable _moments;
    private readonly ParameterUse _scale;
    private readonly Parameter _shift;
    private readonly ICommunicator _replicas;
    private Variable? _sums;

    private DividedBatchNormFunction(Variable input, Variable mean, Variable inverseStd, Variable moments, Parameter scale, Parameter shift, ICommunicator replicas)
    {
        _input = Save(input);
        _mean = SaveAlone(mean);
        _inverseStd = SaveAlone(inverseStd);
        _moments = SaveAlone(moments);
        (_shift, _replicas) = (shift, replicas);
        _scale = Use(scale);
        Use(shift);
    }

    internal static Variable Apply(Variable input, Parameter scale, Parameter shift, StateTensor runningMean, StateTensor runningVariance, float momentum, float epsilon, ICommunicator replicas)
    {
        GradientTape tape = input.Tape;
        Variable output = tape.Allocate(input.Shape), mean = tape.Allocate(scale.Shape), inverseStd = tape.Allocate(scale.Shape);
        Variable moments = tape.Allocate(new Shape(DividedBatchNorm.MomentCount, scale.Shape[0]));
        Gather(tape.Stream, moments.Value, input.Value, replicas);
        DividedBatchNorm.Forward(tape.Stream, output.Value, mean.Value, inverseStd.Value, input.Value, moments.Value, scale.Value, shift.Value, epsilon);
        tape.Defer(new RunningUpdate(runningMean, runningVariance, moments, momentum));
        if (tape.Records(input) || tape.Records(scale) || tape.Records(shift))
            return tape.Record(output, new DividedBatchNormFunction(input, mean, inverseStd, moments, scale, shift, replicas));
        mean.Release();
        inverseStd.Release();
        moments.Release();
        return output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        // This replica's sums are its share of the parameters' gradients; those of all make the input's.
        _sums = SaveAlone(Output.Tape.Allocate(new Shape(DividedBatchNorm.SumCount, _shift.Shape[0])));
        DividedBatchNorm.GradientSums(Stream, _sums.Value, OutputGradient, _input.Value, _mean.Value, _inverseStd.Value);
        if (!_input.RequiresGradient) return;
        using Tensor total = Tensor.Allocate(Stream, _sums.Shape);
        _replicas.AllReduce(Stream, _sums.Value, total);
        Tensor target = TargetInPlace(_input, out Tensor outputGradient);
        DividedBatchNorm.InputGradient(Stream, target, outputGradient, _input.Value, _mean.Value, _inverseStd.Value, _scale.Value, total, _moments.Value);
    }

    /// <inheritdoc/>
    protected internal override void BackwardWeight(GradientStore gradients)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        PutRow(gradients, _scale.Parameter, 1);
        PutRow(gradients, _shift, 0);
    }

    private void PutRow(GradientStore gradients, Parameter parameter, int row)
    {
        if (!gradients.TryTarget(Stream, parameter, out Tensor target, out bool accumulate)) return;
        using Tensor slice = _sums!.Value.Slice(row, 1), gradient = slice.Reshape(parameter.Shape);
        Put(gradient, target, accumulate);
    }

    // The parts are merged in the order of ranks, on every replica alike: all have the same bits.
    private static void Gather(ExecutionStream stream, Tensor moments, Tensor input, ICommunicator replicas)
    {
        using Tensor own = Tensor.Allocate(stream, moments.Shape), all = Tensor.Allocate(stream, new Shape(replicas.WorldSize, moments.Shape[0], moments.Shape[1]));
        DividedBatchNorm.Moments(stream, own, input);
        replicas.AllGather(stream, own, all);
        DividedBatchNorm.Merge(stream, moments, all);
    }

    private sealed class RunningUpdate : IStateUpdate
    {
        private readonly StateTensor _runningMean, _runningVariance;
        private readonly Variable _moments;
        private readonly float _momentum;

        public RunningUpdate(StateTensor runningMean, StateTensor runningVariance, Variable moments, float momentum)
        {
            (_runningMean, _runningVariance, _moments, _momentum) = (runningMean, runningVariance, moments, momentum);
            moments.RetainForBackward();
        }

        public void Apply(ExecutionStream stream)
        {
            DividedBatchNorm.UpdateRunning(stream, _runningMean.Value, _runningVariance.Value, _moments.Value, _momentum);
            _moments.ReleaseFromBackward();
        }
    }
}
