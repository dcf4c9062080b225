using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>
/// Writes what training tells to metrics.jsonl and a TensorBoard event file.
/// metrics.jsonl has a line for each reading of the loss and one for each epoch; step counts from 0.
/// </summary>
internal sealed class MetricsFiles(RunFolder folder) : ITrainingCallback, IDisposable
{
    private readonly JsonLinesWriter _lines = new(folder.Metrics);
    private readonly TensorBoardWriter _events = new(folder.Path);

    /// <summary>The last epoch's result; null before.</summary>
    public EvaluationResult? LastEvaluation { get; private set; }

    /// <summary>Wall time spent in evaluations, which is not training time.</summary>
    public TimeSpan EvaluationTime { get; private set; }

    public void OnStepEnd(in StepMetrics metrics)
    {
        if (metrics.Loss is not { } loss) return;
        _lines.Write(("step", metrics.Step), ("epoch", metrics.Epoch), ("loss", loss), ("meanLoss", metrics.IntervalLoss), ("learningRate", metrics.LearningRate),
            ("gradientNorm", metrics.GradientNorm), ("samplesPerSecond", metrics.SamplesPerSecond), ("seconds", metrics.Elapsed.TotalSeconds),
            ("lossScale", metrics.LossScale), ("skippedSteps", metrics.LossScale is null ? null : metrics.SkippedStepCount));
        _events.WriteScalars(metrics.Step, ("train/loss", loss), ("train/learning_rate", metrics.LearningRate), ("train/samples_per_second", (float)metrics.SamplesPerSecond));
        if (metrics.LossScale is { } scale) _events.WriteScalar("train/loss_scale", metrics.Step, scale);
        if (metrics.GradientNorm is { } norm) _events.WriteScalar("train/gradient_norm", metrics.Step, norm);
    }

    public void OnEpochEnd(EpochMetrics metrics)
    {
        EvaluationResult test = LastEvaluation = metrics.Validation!;
        EvaluationTime += test.Duration;
        _lines.Write(("epoch", metrics.Epoch), ("trainLoss", metrics.MeanLoss), ("testLoss", test.Loss), ("testAccuracy", test.Accuracy), ("seconds", metrics.Duration.TotalSeconds),
            ("dataWaitSeconds", metrics.DataWait.TotalSeconds));
        _events.WriteScalars(metrics.Epoch, ("test/loss", test.Loss), ("test/accuracy", (float)test.Accuracy), ("train/data_wait", (float)(metrics.DataWait / metrics.Duration)));
        ProgressDisplay.Say(FormattableString.Invariant(
            $"epoch {metrics.Epoch + 1}: train loss {metrics.MeanLoss:F4}, test loss {test.Loss:F4}, test accuracy {test.Accuracy:P2}, {metrics.SampleCount / metrics.Duration.TotalSeconds:N0} samples/s"));
    }

    public void Dispose()
    {
        _lines.Dispose();
        _events.Dispose();
    }
}
