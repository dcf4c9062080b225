using System.Globalization;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// How gradients travel between replicas in fewer bytes than they have. A hook for ways of one's own: <see cref="Create"/> is asked for a <see cref="IBucketCompressor"/> for every bucket. The
/// sums must have the same bits on all replicas. Immutable; one may serve any number of replicas.
/// </summary>
public abstract class GradientCompression
{
    /// <summary>Gradients rounded to bf16, summed as bf16: half the bytes. Where the communicator's order is fixed, sums are formed in f32 and rounded once.</summary>
    public static GradientCompression BFloat16 { get; } = new BFloat16Compression();

    /// <summary>For messages; what <see cref="Parse"/> reads where it is one of ours.</summary>
    public abstract string Name { get; }

    /// <summary>
    /// Whether replicas keep something from step to step. Checkpoints have it where it is a <see cref="IBucketCompressor.Residual"/>; else a run that goes on from one is not bit for bit the unbroken
    /// run, and says so.
    /// </summary>
    public virtual bool KeepsState => false;

    /// <summary>
    /// Only the elements largest by magnitude of each bucket, with their places; what was not sent is kept on the replica and added to the next step's gradients (error feedback: Stich, Cordonnier
    /// and Jaggi, "Sparsified SGD with Memory", 2018, arXiv 1809.07599; Lin et al., "Deep Gradient Compression", 2018, arXiv 1712.01887, without its momentum correction). Equal magnitudes: the
    /// lower place first. What is kept is part of checkpoints, a file for each replica. GPU buckets pass through host memory.
    /// </summary>
    /// <param name="ratio">The part of a bucket's elements that a replica sends, more than 0, at most 1; at least one element.</param>
    public static GradientCompression TopK(double ratio) => ratio is > 0 and <= 1 ? new TopKCompression(ratio)
        : throw new ArgumentOutOfRangeException(nameof(ratio), ratio, "the part of the elements that is sent lies above 0, at most 1");

    /// <summary>Reads <c>none</c> (null), <c>bf16</c> or <c>topk:RATIO</c>.</summary>
    /// <exception cref="FormatException">It is none of these.</exception>
    public static GradientCompression? Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text == "none") return null;
        if (text == "bf16") return BFloat16;
        if (text.StartsWith("topk:", StringComparison.Ordinal) && double.TryParse(text.AsSpan(5), NumberStyles.Float, CultureInfo.InvariantCulture, out double ratio) && ratio is > 0 and <= 1) return TopK(ratio);
        throw new FormatException($"'{text}' is no gradient compression: expected none, bf16, or topk:RATIO with a ratio above 0, at most 1, such as topk:0.01");
    }

    /// <summary>Makes what reduces one bucket on one replica. Every replica does the same for the same buckets in the same order, so collectives are allowed.</summary>
    /// <param name="stream">The replica's stream.</param>
    /// <param name="communicator">Joins the replicas; stays the caller's.</param>
    /// <param name="elementCount">Elements of the bucket.</param>
    /// <param name="root">The one rank that needs the sums; null: all do.</param>
    public abstract IBucketCompressor Create(ExecutionStream stream, ICommunicator communicator, int elementCount, int? root);
}

/// <summary>Reduces one bucket of gradients over the replicas in its own way. Belongs to the replica's thread.</summary>
public interface IBucketCompressor : IDisposable
{
    /// <summary>Bytes that this replica hands to the collective of a step.</summary>
    long SentByteCount { get; }

    /// <summary>
    /// What this replica keeps back of its gradients from step to step, [elements] f32, on any device: the same tensor at all times, the compressor's. Each replica's is saved with checkpoints and
    /// loaded again; replicas of another number share it so that its sum over all stays, so it must be something that is added to gradients. Null: nothing, or nothing that is saved.
    /// </summary>
    Tensor? Residual => null;

    /// <summary>Starts a step's one collective over a bucket whose gradients are all complete. Does not wait for other replicas.</summary>
    /// <param name="stream">The replica's stream.</param>
    /// <param name="gradients">The bucket, [elements] f32; may be overwritten.</param>
    CollectiveHandle Start(ExecutionStream stream, Tensor gradients);

    /// <summary>Puts the sums over all replicas into the bucket, which the stream has waited for; where one rank alone needs them, there.</summary>
    void Finish(ExecutionStream stream, Tensor gradients);
}
