using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>A cluster by its numbers.</summary>
/// <param name="Workers">Replicas.</param>
/// <param name="Link">Between any two of them.</param>
/// <param name="FlopsPerSecond">What a worker reaches in training.</param>
/// <param name="BatchPerWorker">Samples of a worker's step.</param>
public sealed record SimulatedCluster(int Workers, LinkCost Link, double FlopsPerSecond, int BatchPerWorker);

/// <summary>A step of synchronous training, as predicted.</summary>
/// <param name="ComputeSeconds">Forward and backward.</param>
/// <param name="CommunicationSeconds">All buckets' reductions, each by itself.</param>
/// <param name="StallSeconds">What comes behind the end of backward.</param>
public readonly record struct SimulatedStep(double ComputeSeconds, double CommunicationSeconds, double StallSeconds)
{
    /// <summary>The part of the step that waits for communication.</summary>
    public double StallShare => StallSeconds <= 0 ? 0 : StallSeconds / (ComputeSeconds + StallSeconds);
}

/// <summary>
/// Predicts what synchronous training waits for its gradients: backward goes through the layers from the last to the first, twice the forward pass's work each; gradients go into the buckets of
/// <see cref="BucketPlan"/>; a bucket's ring all-reduce starts when its last gradient is there and the one before it has ended. Pure arithmetic. What it leaves out: everything but matrix
/// multiplications, slower workers, and that computing and communicating slow each other down.
/// </summary>
public static class StepSimulator
{
    /// <summary>Predicts a step.</summary>
    /// <param name="network">What is trained.</param>
    /// <param name="cluster">Where.</param>
    /// <param name="overlaps">False: communication begins when backward has ended.</param>
    /// <param name="bucketBytes">Bytes of a bucket but the first, which has 1 MiB at most.</param>
    public static SimulatedStep Run(ReferenceNetwork network, SimulatedCluster cluster, bool overlaps = true, long bucketBytes = BucketPlan.DefaultByteCount)
    {
        ArgumentNullException.ThrowIfNull(network);
        ArgumentNullException.ThrowIfNull(cluster);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cluster.Workers, nameof(cluster));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cluster.FlopsPerSecond, nameof(cluster));
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(cluster.BatchPerWorker, nameof(cluster));
        IReadOnlyList<ReferenceLayer> layers = network.Layers;
        double forward = layers.Sum(layer => Seconds(layer, cluster)), compute = 3 * forward;
        // When each layer's gradient is there, by its place from the end.
        double[] readyAt = new double[layers.Count];
        double now = forward;
        for (int i = 0; i < layers.Count; i++) readyAt[i] = now += 2 * Seconds(layers[layers.Count - 1 - i], cluster);
        (double end, double communication) = (0, 0);
        foreach (Bucket bucket in BucketPlan.Create([.. layers.Select(layer => layer.Parameters * sizeof(float))], bucketBytes))
        {
            double seconds = AllReduceCost.Seconds(AllReduceAlgorithm.Ring, cluster.Workers, bucket.ByteCount, cluster.Link);
            end = Math.Max(end, overlaps ? readyAt[bucket.First + bucket.Count - 1] : compute) + seconds;
            communication += seconds;
        }
        return new SimulatedStep(compute, communication, cluster.Workers == 1 ? 0 : Math.Max(0, end - compute));
    }

    // A multiplication and an addition are two operations.
    private static double Seconds(ReferenceLayer layer, SimulatedCluster cluster) => 2.0 * layer.MultiplyAdds * cluster.BatchPerWorker / cluster.FlopsPerSecond;
}
