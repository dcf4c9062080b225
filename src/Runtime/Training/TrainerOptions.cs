using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>How long and at what rates to train. Batches and optimizer carry their own options.</summary>
public sealed record TrainerOptions
{
    /// <summary>Passes over the samples; unless <see cref="StepLimit"/> ends training earlier.</summary>
    public int EpochCount { get; init; } = 1;

    /// <summary>Steps in all, counted from step 0 of the run; null for as many as the epochs have.</summary>
    public long? StepLimit { get; init; }

    /// <summary>The first step to take: 0, or where a resumed run goes on. Epoch and batch follow from it.</summary>
    public long FirstStep { get; init; }

    /// <summary>
    /// Where the data of a resumed run go on: what <see cref="Trainer.DataPosition"/> was behind the step before <see cref="FirstStep"/>. Null: the batches before it are
    /// passed over, which costs nothing where the data have an index.
    /// </summary>
    public Ingest.IteratorState? DataPosition { get; init; }

    /// <summary>The learning rate of each step.</summary>
    public LearningRateSchedule Schedule { get; init; } = LearningRateSchedule.Constant(0.01f);

    /// <summary>Keys the random numbers of the passes (dropout).</summary>
    public ulong Seed { get; init; }

    /// <summary>Steps between two readings of the loss. 1 gives every step's loss; more lets a GPU run ahead of the host.</summary>
    public int LogEvery { get; init; } = 50;

    /// <summary>Backward passes that a replica's part of a batch is divided into, one after another: less memory, the same step up to rounding. State (running statistics) is updated by each.</summary>
    public int AccumulationSteps { get; init; } = 1;

    /// <summary>What steps compute with besides f32.</summary>
    public Precision Precision { get; init; }

    /// <summary>How losses are scaled; null: by the usual rules with <see cref="Precision.Float16"/>, else not at all.</summary>
    public LossScaling? LossScaling { get; init; }

    /// <summary>The rules in use; null: none.</summary>
    internal LossScaling? UsedLossScaling => LossScaling ?? (Precision == Precision.Float16 ? new LossScaling() : null);

    /// <summary>Scales the gradients down where their global norm is larger; null does not clip.</summary>
    public float? ClipNorm { get; init; }

    /// <summary>Where the run saves itself and goes on from; null: nowhere. What it goes on from takes the place of <see cref="FirstStep"/> and <see cref="DataPosition"/>.</summary>
    public CheckpointOptions? Checkpoints { get; init; }

    /// <summary>Measured on all replicas at the end of every epoch; null: nothing is.</summary>
    public IBatchSource? Validation { get; init; }

    /// <summary>
    /// Asks training to save itself and stop at the end of a step, as when the machine is taken away: it throws <see cref="PreemptedException"/> then. Enough if one replica is asked.
    /// </summary>
    public CancellationToken Preemption { get; init; }

    /// <summary>The loss of logits and labels: a mean over samples, or over what <see cref="IgnoreIndex"/> or <see cref="ElementCount"/> leave. Cross-entropy if null.</summary>
    public Func<Variable, Tensor, Variable>? Loss { get; init; }

    /// <summary>
    /// Labels of this value (i32) count for nothing, such as padding; <see cref="CrossEntropyOptions.DefaultIgnoreIndex"/> is the usual one. All others weigh the same then, wherever they lie among
    /// replicas, virtual shards and accumulation steps, in the gradients, in the losses told and in <see cref="Validation"/>. Cross-entropy leaves them out; a <see cref="Loss"/> of one's own must,
    /// and be the mean of the rest. Counting takes a small sum over replicas a step, and on a GPU a reading of the labels, for which the host waits. Null: samples are what weighs the same.
    /// </summary>
    public int? IgnoreIndex { get; init; }

    /// <summary>
    /// Says how many elements, such as tokens, a <see cref="Loss"/> over these labels is the mean of, or the sum of their weights, where that is not the number of labels other than
    /// <see cref="IgnoreIndex"/>. Asked for the labels of every pass before the step's first one, on the replica's thread. Finite and not negative; where it is 0 the loss is not asked for and the pass
    /// gives gradients of zero. A step of 0 elements over all replicas is taken with such gradients and has no loss. Null: see <see cref="IgnoreIndex"/>.
    /// </summary>
    public Func<ExecutionStream, Tensor, double>? ElementCount { get; init; }

    /// <summary>The loss in use.</summary>
    internal Func<Variable, Tensor, Variable> UsedLoss => Loss ?? (IgnoreIndex is { } ignored ? (logits, labels) => Losses.CrossEntropy(logits, labels, new CrossEntropyOptions(IgnoreIndex: ignored)) : Losses.CrossEntropy);
}
