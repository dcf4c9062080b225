using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Gives a model's output for every sample: each replica computes its part of every batch, and all get all outputs, in the order of the samples, whatever the number of replicas and however
/// uneven the last batch. Blocks until done; holds all outputs in memory.
/// </summary>
public static class Predictor
{
    /// <summary>Predicts on one device.</summary>
    /// <param name="stream">A stream of the model's device.</param>
    /// <param name="model">Gives one output for each sample, along the first dimension.</param>
    /// <param name="batches">The samples, one epoch of them; made without shuffling, outputs are in the order of the data.</param>
    /// <param name="cancellation">Ends it between two batches.</param>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static Predictions Predict(ExecutionStream stream, Module model, IBatchSource batches, CancellationToken cancellation = default) =>
        Predict(stream, model, batches, BatchShard.Whole, _ => { }, cancellation);

    /// <summary>Predicts with a model under a strategy. Collective.</summary>
    /// <param name="stream">The replica's stream.</param>
    /// <param name="variables">The replica's variables.</param>
    /// <param name="batches">As above; the same on all replicas.</param>
    /// <param name="cancellation">Ends it between two batches.</param>
    public static Predictions Predict(ExecutionStream stream, ReplicaVariables variables, IBatchSource batches, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(variables);
        variables.Refresh(stream);
        using IDisposable values = variables.Gather(stream);
        return Predict(stream, variables.Model, batches, variables.EvaluationShard, numbers => variables.Sum(stream, numbers), cancellation);
    }

    /// <summary>Predicts with a model that every replica has made or loaded by itself, with the same values. Collective.</summary>
    /// <param name="replica">The calling replica.</param>
    /// <param name="model">On the replica's device.</param>
    /// <param name="batches">As above; the same on all replicas.</param>
    /// <param name="cancellation">Ends it between two batches.</param>
    public static Predictions Predict(Replica replica, Module model, IBatchSource batches, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(replica);
        return Predict(replica.Stream, model, batches, new BatchShard(replica.Communicator.Rank, replica.Communicator.WorldSize), numbers => ReplicaAgreement.Sum(replica.Stream, replica.Communicator, numbers), cancellation);
    }

    private static Predictions Predict(ExecutionStream stream, Module model, IBatchSource batches, BatchShard shard, Action<double[]> sum, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(batches);
        Shape? sample = null;
        long count = 0;
        using IBatchFeed feed = batches.Open(stream, epochCount: 1, shard: shard, cancellation: cancellation);
        List<(long First, float[] Rows)> parts = [];
        for (int i = 0; i < batches.BatchCount; i++)
        {
            cancellation.ThrowIfCancellationRequested();
            using Batch batch = feed.Next();
            count += batch.GlobalCount;
            if (batch.Count == 0) continue;
            using GradientTape tape = new(stream, TapeMode.Evaluation);
            Tensor output = model.Forward(tape.Input(batch.Inputs)).Value;
            sample = SampleOf(output.Shape, batch.Count);
            parts.Add((batch.FirstSample, output.ToArray<float>(stream)));
        }
        return Join(Agree(sample, sum), count, parts, sum);
    }

    private static Shape SampleOf(Shape output, int count)
    {
        if (output.DimensionCount == 0 || output[0] != count) throw new ShapeException($"predict: the model gives {output} for {count} samples, expected one output for each along the first dimension");
        return new Shape(output.Dimensions[1..]);
    }

    // A replica may have had no samples at all: what an output looks like, the others know.
    private static Shape Agree(Shape? own, Action<double[]> sum)
    {
        double[] votes = new double[2 + Shape.MaxDimensionCount];
        if (own is { } shape)
        {
            (votes[0], votes[1]) = (1, shape.DimensionCount);
            for (int d = 0; d < shape.DimensionCount; d++) votes[2 + d] = shape[d];
        }
        sum(votes);
        return votes[0] == 0 ? new Shape(0) : new Shape([.. votes.Skip(2).Take((int)(votes[1] / votes[0])).Select(extent => (int)(extent / votes[0]))]);
    }

    // Each replica fills in its rows; nothing is added to a number but zeros.
    private static Predictions Join(Shape sample, long count, List<(long First, float[] Rows)> parts, Action<double[]> sum)
    {
        const int StepLength = 1 << 18;
        int length = checked((int)sample.ElementCount);
        float[] all = new float[checked(count * length)];
        foreach ((long first, float[] rows) in parts) rows.CopyTo(all, first * length);
        double[] window = new double[StepLength];
        for (int done = 0; done < all.Length; done += StepLength)
        {
            Span<float> values = all.AsSpan(done, Math.Min(StepLength, all.Length - done));
            double[] numbers = values.Length == StepLength ? window : new double[values.Length];
            for (int i = 0; i < values.Length; i++) numbers[i] = values[i];
            sum(numbers);
            for (int i = 0; i < values.Length; i++) values[i] = (float)numbers[i];
        }
        return new Predictions(sample, all);
    }
}
