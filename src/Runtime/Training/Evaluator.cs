using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>How well a model does on samples.</summary>
/// <param name="Loss">Mean cross-entropy of the samples, or of all labels that are not ignored; NaN if there are none.</param>
/// <param name="Confusion">Counts by class; its <see cref="ConfusionMatrix.Accuracy"/> is the accuracy.</param>
/// <param name="Duration">Wall time.</param>
public sealed record EvaluationResult(float Loss, ConfusionMatrix Confusion, TimeSpan Duration)
{
    /// <summary>The part of the samples classified right.</summary>
    public double Accuracy => Confusion.Accuracy;

    /// <summary>Samples in all.</summary>
    public long SampleCount => Confusion.SampleCount;
}

/// <summary>Measures a classifier.</summary>
public static class Evaluator
{
    /// <summary>Runs one epoch of batches through the model in evaluation mode. Blocks until done.</summary>
    /// <param name="stream">A stream of the model's device.</param>
    /// <param name="model">Gives logits [samples, classes].</param>
    /// <param name="batches">What to measure on; order does not matter.</param>
    /// <param name="ignoreIndex">Labels of this value count for nothing, as in <see cref="TrainerOptions.IgnoreIndex"/>.</param>
    /// <param name="cancellation">Ends it between two batches.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static EvaluationResult Evaluate(ExecutionStream stream, Module model, IBatchSource batches, int ignoreIndex = CrossEntropyOptions.DefaultIgnoreIndex, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        return Evaluate(stream, model, batches, BatchShard.Whole, _ => { }, ignoreIndex, cancellation);
    }

    /// <summary>The same on all replicas of a strategy, each measuring its part of every batch: all get the result for all samples. Collective.</summary>
    /// <param name="stream">The replica's stream.</param>
    /// <param name="variables">The replica's variables.</param>
    /// <param name="batches">What to measure on.</param>
    /// <param name="ignoreIndex">Labels of this value count for nothing, as in <see cref="TrainerOptions.IgnoreIndex"/>.</param>
    /// <param name="cancellation">Ends it between two batches.</param>
    public static EvaluationResult Evaluate(ExecutionStream stream, ReplicaVariables variables, IBatchSource batches, int ignoreIndex = CrossEntropyOptions.DefaultIgnoreIndex, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(variables);
        variables.Refresh(stream);
        using IDisposable values = variables.Gather(stream);
        return Evaluate(stream, variables.Model, batches, variables.EvaluationShard, numbers => variables.Sum(stream, numbers), ignoreIndex, cancellation);
    }

    /// <summary>The same of a model that every replica has made or loaded by itself, with the same values: measuring needs no variables. Collective.</summary>
    /// <param name="replica">The calling replica.</param>
    /// <param name="model">On the replica's device.</param>
    /// <param name="batches">What to measure on.</param>
    /// <param name="ignoreIndex">Labels of this value count for nothing, as in <see cref="TrainerOptions.IgnoreIndex"/>.</param>
    /// <param name="cancellation">Ends it between two batches.</param>
    public static EvaluationResult Evaluate(Replica replica, Module model, IBatchSource batches, int ignoreIndex = CrossEntropyOptions.DefaultIgnoreIndex, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(replica);
        return Evaluate(replica.Stream, model, batches, new BatchShard(replica.Communicator.Rank, replica.Communicator.WorldSize), numbers => ReplicaAgreement.Sum(replica.Stream, replica.Communicator, numbers), ignoreIndex, cancellation);
    }

    private static EvaluationResult Evaluate(ExecutionStream stream, Module model, IBatchSource batches, BatchShard shard, Action<double[]> sum, int ignoreIndex, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(batches);
        using ActivityScope measured = MeasuredActivity.Evaluation.Begin();
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        ConfusionMatrix? confusion = null;
        double lossSum = 0;
        using IBatchFeed feed = batches.Open(stream, epochCount: 1, shard: shard, cancellation: cancellation);
        for (int i = 0; i < batches.BatchCount; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            using Batch batch = feed.Next();
            if (batch.Count == 0) continue;
            using GradientTape tape = new(stream, TapeMode.Evaluation);
            Variable logits = model.Forward(tape.Input(batch.Inputs));
            Variable loss = Losses.CrossEntropy(logits, batch.Labels, new CrossEntropyOptions(IgnoreIndex: ignoreIndex));
            int[] labels = batch.Labels.ToArray<int>(stream);
            confusion ??= new ConfusionMatrix(logits.Shape[-1]);
            lossSum += (double)loss.Value.ToArray<float>(stream)[0] * (labels.Length - labels.AsSpan().Count(ignoreIndex));
            Count(confusion, logits.Value.ToArray<float>(stream), labels, ignoreIndex);
        }
        // A replica may have had no samples at all: how many classes there are, the others know.
        double[] classes = [confusion?.ClassCount ?? 0, confusion is null ? 0 : 1];
        sum(classes);
        confusion ??= new ConfusionMatrix(classes[1] > 0 ? (int)(classes[0] / classes[1]) : 1);
        double[] totals = [lossSum, .. confusion.Counts];
        sum(totals);
        confusion = ConfusionMatrix.Of(confusion.ClassCount, totals.AsSpan(1));
        return new EvaluationResult((float)(totals[0] / confusion.SampleCount), confusion, System.Diagnostics.Stopwatch.GetElapsedTime(start));
    }

    private static void Count(ConfusionMatrix confusion, float[] logits, int[] labels, int ignoreIndex)
    {
        int classCount = confusion.ClassCount;
        for (int i = 0; i < labels.Length; i++)
            if (labels[i] != ignoreIndex) confusion.Add(labels[i], logits.AsSpan(i * classCount, classCount));
    }
}
