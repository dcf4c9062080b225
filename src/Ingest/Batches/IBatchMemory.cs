namespace DistTrain.Ingest;

/// <summary>
/// Where batches are assembled. The trainer supplies memory that its device copies from directly (page-locked for CUDA); without it, pinned memory of the
/// managed heap serves. Implementations are thread-safe and pool what they give.
/// </summary>
public interface IBatchMemory
{
    /// <summary>Lends a buffer of at least <paramref name="byteCount"/> bytes, 64-byte aligned, at one address until disposed; its content is undefined.</summary>
    /// <exception cref="BatchMemoryException">There is no such memory.</exception>
    BatchBuffer Rent(long byteCount);
}
