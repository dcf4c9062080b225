namespace DistTrain.Ingest;

/// <summary>A piece whose bytes are still to be read.</summary>
/// <param name="Piece">Where they go; it has the lease already.</param>
/// <param name="Source">Where they come from; null if they are there.</param>
/// <param name="Offset">Where they lie there.</param>
internal readonly record struct SlabClaim(SlabPiece Piece, SharedSource? Source, long Offset);

/// <summary>A source that is closed when the last of those that read it is done. Thread-safe.</summary>
internal sealed class SharedSource(IByteSource source)
{
    private int _users = 1;

    internal IByteSource Bytes => source;

    /// <summary>One more, beside one that has not left.</summary>
    internal void Enter() => Interlocked.Increment(ref _users);

    internal void Leave()
    {
        if (Interlocked.Decrement(ref _users) == 0) source.Dispose();
    }
}
