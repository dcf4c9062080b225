namespace DistTrain.Runtime;

/// <summary>What a training step tells. Valid during the callback.</summary>
/// <param name="Step">From 0.</param>
/// <param name="Epoch">From 0.</param>
/// <param name="BatchInEpoch">From 0.</param>
/// <param name="BatchCount">Batches in an epoch.</param>
/// <param name="SampleCount">Samples of the step.</param>
/// <param name="LearningRate">The rate used.</param>
/// <param name="Loss">The step's mean loss; null if it was not read back this step, or no element of the step counts (<see cref="TrainerOptions.ElementCount"/>).</param>
/// <param name="IntervalLoss">The mean over the steps since the last reading; null as <paramref name="Loss"/>.</param>
/// <param name="GradientNorm">The global norm before clipping; null as <paramref name="Loss"/>, or without clipping.</param>
/// <param name="SamplesPerSecond">Since the last reading, or since the start.</param>
/// <param name="Elapsed">Since training began or resumed.</param>
/// <param name="LossScale">The next step's; null without loss scaling.</param>
/// <param name="SkippedStepCount">Steps so far that were left out because gradients overflowed, the run's earlier parts included.</param>
public readonly record struct StepMetrics(
    long Step, int Epoch, int BatchInEpoch, int BatchCount, int SampleCount, float LearningRate,
    float? Loss, float? IntervalLoss, float? GradientNorm, double SamplesPerSecond, TimeSpan Elapsed, float? LossScale = null, long SkippedStepCount = 0);

/// <summary>What an epoch tells.</summary>
/// <param name="Epoch">From 0.</param>
/// <param name="StepCount">Steps taken in it by this run.</param>
/// <param name="SampleCount">Samples seen in it by this run.</param>
/// <param name="MeanLoss">Mean of the samples' losses, each at its own step, those before a resumption included; or of the elements' (<see cref="TrainerOptions.ElementCount"/>), NaN if none counts.</param>
/// <param name="Duration">Wall time.</param>
/// <param name="DataWait">The part of it that steps waited for their batch.</param>
/// <param name="Validation">What the model does on <see cref="TrainerOptions.Validation"/> now; null without.</param>
public sealed record EpochMetrics(int Epoch, long StepCount, long SampleCount, float MeanLoss, TimeSpan Duration, TimeSpan DataWait, EvaluationResult? Validation = null);

/// <summary>What a whole run tells.</summary>
/// <param name="StepCount">The step that a further run would begin with.</param>
/// <param name="SampleCount">Samples seen by this run.</param>
/// <param name="LastLoss">The last step's loss; NaN if there was none.</param>
/// <param name="Duration">Wall time.</param>
/// <param name="DataWait">The part of it that steps waited for their batch.</param>
public sealed record TrainingResult(long StepCount, long SampleCount, float LastLoss, TimeSpan Duration, TimeSpan DataWait);
