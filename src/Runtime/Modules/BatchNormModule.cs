using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Batch normalisation of the channels of [N, C] (PyTorch's BatchNorm1d) or NCHW (BatchNorm2d). Parameters <c>weight</c> and <c>bias</c>, state
/// <c>running_mean</c> and <c>running_var</c>, all [C].
/// </summary>
public sealed class BatchNormModule : Module
{
    private readonly float _momentum;
    private readonly float _epsilon;

    /// <param name="channels">C.</param>
    /// <param name="momentum">Weight of a batch in the running statistics.</param>
    /// <param name="epsilon">Added to the variance.</param>
    public BatchNormModule(int channels, float momentum = 0.1f, float epsilon = 1e-5f)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(channels);
        (_momentum, _epsilon) = (momentum, epsilon);
        Weight = Register("weight", new Shape(channels), Initializer.Ones);
        Bias = Register("bias", new Shape(channels), Initializer.Zeros);
        RunningMean = RegisterState("running_mean", new Shape(channels), 0);
        RunningVariance = RegisterState("running_var", new Shape(channels), 1);
    }

    /// <summary>The scale, [C].</summary>
    public Parameter Weight { get; }

    /// <summary>The shift, [C].</summary>
    public Parameter Bias { get; }

    /// <summary>[C].</summary>
    public StateTensor RunningMean { get; }

    /// <summary>[C], unbiased.</summary>
    public StateTensor RunningVariance { get; }

    /// <summary>Whether replicas of this module normalise by the statistics of the batch of all; null: as the strategy's <see cref="VariableOptions.SynchronizesBatchNorm"/> says.</summary>
    public bool? Synchronizes { get; init; }

    /// <summary>Joins the replicas of this module in training; null: it works with its own samples.</summary>
    internal ICommunicator? Replicas { get; set; }

    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return Replicas is { } replicas && input.Tape.IsTraining
            ? DividedBatchNormFunction.Apply(input, Weight, Bias, RunningMean, RunningVariance, _momentum, _epsilon, replicas)
            : BatchNormFunction.Apply(input, Weight, Bias, RunningMean, RunningVariance, _momentum, _epsilon);
    }
}
