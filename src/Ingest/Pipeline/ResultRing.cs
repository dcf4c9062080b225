namespace DistTrain.Ingest;

/// <summary>
/// Results at numbered places, from the head on: threads fill places in any order, the consumer takes them in the order of the numbers. Places lie in chunks that
/// never move and are used again, so that places can be filled and read without a lock while the ring grows; memory follows what is really held, not what may be.
/// </summary>
internal sealed class ResultRing<T>
{
    private const int ChunkBits = 5, ChunkLength = 1 << ChunkBits;

    private Entry[]?[] _chunks = new Entry[]?[2];

    // The number of the first chunk that was never reserved.
    private long _reserved;

    /// <summary>One place. A stamp of its number + 1 says that it is filled, so that it need not be cleared.</summary>
    internal struct Entry
    {
        internal long Stamp;
        internal T? Value;
        internal Exception? Error;
        internal long Index;
        internal SourceLocation Source;
    }

    /// <summary>A reserved place.</summary>
    internal ref Entry this[long place] => ref ChunkOf(place)![place & (ChunkLength - 1)];

    /// <summary>Whether a place is filled.</summary>
    internal bool IsReady(long place) => ChunkOf(place) is { } chunk && Volatile.Read(ref chunk[place & (ChunkLength - 1)].Stamp) == place + 1;

    /// <summary>Makes room for the places from <paramref name="head"/> to before <paramref name="end"/>. One thread at a time.</summary>
    internal void Reserve(long head, long end)
    {
        long first = head >> ChunkBits, last = (end - 1) >> ChunkBits;
        if (last < _reserved) return;
        if (last - first >= _chunks.Length) Grow(first, last);
        for (_reserved = Math.Max(_reserved, first); _reserved <= last; _reserved++)
            _chunks[_reserved & (_chunks.Length - 1)] ??= new Entry[ChunkLength];
    }

    private Entry[]? ChunkOf(long place)
    {
        Entry[]?[] chunks = Volatile.Read(ref _chunks);
        return chunks[(place >> ChunkBits) & (chunks.Length - 1)];
    }

    private void Grow(long first, long last)
    {
        Entry[]?[] grown = new Entry[]?[System.Numerics.BitOperations.RoundUpToPowerOf2((ulong)(last - first + 1))];
        for (long chunk = first; chunk < _reserved; chunk++) grown[chunk & (grown.Length - 1)] = _chunks[chunk & (_chunks.Length - 1)];
        Volatile.Write(ref _chunks, grown);
    }
}
