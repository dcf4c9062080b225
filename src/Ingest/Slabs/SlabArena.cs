namespace DistTrain.Ingest;

/// <summary>Gives out parts of slabs one behind the other, for records that are read one by one. Thread-safe.</summary>
internal sealed class SlabArena(SlabPool pool) : IDisposable
{
    // What one kept record keeps with it.
    private const int SlabByteCount = 1 << 18;

    private readonly Lock _lock = new();
    private Slab? _slab;
    private int _next;

    /// <summary>A part of so many bytes, with a lease of its own.</summary>
    internal Slab Reserve(int byteCount, out int start)
    {
        // Long ones get a slab to themselves.
        if (byteCount > SlabByteCount / 4)
        {
            Slab own = pool.Rent(byteCount);
            start = own.Origin;
            return own;
        }
        lock (_lock)
        {
            if (_slab is null || _slab.End - _next < byteCount)
            {
                _slab?.Release();
                _slab = null;
                _slab = pool.Rent(SlabByteCount);
                _next = _slab.Origin;
            }
            _slab.Lease();
            start = _next;
            // The next one begins on a cache line of its own.
            _next = Math.Min(_slab.End, (_next + byteCount + 63) & ~63);
            return _slab;
        }
    }

    /// <summary>Gives its slab back; parts given out stay good.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _slab?.Release();
            _slab = null;
        }
    }
}
