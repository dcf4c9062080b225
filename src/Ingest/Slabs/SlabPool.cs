using System.Numerics;

namespace DistTrain.Ingest;

/// <summary>
/// The slabs of one running pipeline (<see cref="StreamContext.Slabs"/>): lent by powers of two, used again when the last record in them is disposed. One pool a
/// pipeline, so that its bound is a part of that pipeline's memory budget, and its memory goes when the pipeline goes; records that live longer stay good.
/// Beyond the bound slabs are made for one use and dropped when they come back: a consumer that holds many records (a shuffle buffer) slows the pipeline down, it
/// never stops it. Thread-safe.
/// </summary>
internal sealed class SlabPool : IDisposable
{
    /// <summary>Smaller ones are not worth a slab of their own.</summary>
    internal const int SmallestByteCount = 1 << 16;

    /// <summary>What files are read in.</summary>
    internal const int DefaultByteCount = 1 << 21;

    /// <summary>Arrays end a little before 2^31; a slab has some room for its alignment.</summary>
    internal const int LargestByteCount = int.MaxValue - (1 << 16);

    // The whole budget is for buffers and caches too.
    private const int BudgetShare = 4;
    private const long LeastBound = 16L << 20;

    private readonly Lock _lock = new();
    private readonly Stack<Slab>[] _idle = new Stack<Slab>[32];
    private readonly Func<long> _findBound;
    private long _bound = -1, _pooledBytes, _idleBytes, _outstanding, _overflow, _made;
    private bool _isDisposed;

    internal SlabPool(long boundByteCount)
        : this(() => boundByteCount)
    {
    }

    internal SlabPool(IngestOptions options)
        : this(() => Math.Max(LeastBound, MemoryBudget.Resolve(options) / BudgetShare))
    {
    }

    // What is free is asked for only when memory is.
    private SlabPool(Func<long> findBound) => _findBound = findBound;

    /// <summary>Slabs lent and not come back.</summary>
    internal long OutstandingCount
    {
        get { lock (_lock) return _outstanding; }
    }

    /// <summary>Slabs that were made for one use because the bound was reached.</summary>
    internal long OverflowCount
    {
        get { lock (_lock) return _overflow; }
    }

    /// <summary>Slabs made so far.</summary>
    internal long MadeCount
    {
        get { lock (_lock) return _made; }
    }

    /// <summary>Bytes in slabs of the pool, lent or idle; those beyond the bound left out.</summary>
    internal long PooledByteCount
    {
        get { lock (_lock) return _pooledBytes; }
    }

    /// <summary>Lends a slab of at least <paramref name="byteCount"/> bytes with one lease on it. Never waits.</summary>
    internal Slab Rent(int byteCount = DefaultByteCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(byteCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(byteCount, LargestByteCount);
        int level = 32 - BitOperations.LeadingZeroCount((uint)Math.Max(byteCount, SmallestByteCount) - 1);
        int size = level >= 31 ? LargestByteCount : 1 << level;
        bool isPooled;
        lock (_lock)
        {
            _outstanding++;
            if (_idle[level] is { } idle && idle.TryPop(out Slab? slab))
            {
                _idleBytes -= size;
                slab.Revive();
                return slab;
            }
            isPooled = MakeRoom(size);
            if (isPooled) _pooledBytes += size;
            else _overflow++;
            _made++;
        }
        try
        {
            return new Slab(this, size, isPooled);
        }
        catch (OutOfMemoryException)
        {
            lock (_lock)
            {
                _outstanding--;
                if (isPooled) _pooledBytes -= size;
            }
            throw;
        }
    }

    /// <summary>Called by a slab whose last lease has ended.</summary>
    internal void Return(Slab slab)
    {
        lock (_lock)
        {
            _outstanding--;
            if (!slab.IsPooled || _isDisposed) return;
            int level = 32 - BitOperations.LeadingZeroCount((uint)slab.ByteCount - 1);
            (_idle[level] ??= new Stack<Slab>()).Push(slab);
            _idleBytes += slab.ByteCount;
        }
    }

    /// <summary>Called for a slab that the garbage collector found with leases on it.</summary>
    internal void Forget(Slab slab)
    {
        lock (_lock)
        {
            if (slab.IsPooled) _pooledBytes -= slab.ByteCount;
        }
    }

    /// <summary>Lets idle slabs go; those lent are dropped when they come back.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            DropIdle(0);
        }
    }

    // Idle slabs of other sizes make room first.
    private bool MakeRoom(int size)
    {
        if (_isDisposed) return false;
        if (_bound < 0) _bound = _findBound();
        if (_pooledBytes + size > _bound && _pooledBytes - _idleBytes + size <= _bound) DropIdle(_bound - size);
        return _pooledBytes + size <= _bound;
    }

    private void DropIdle(long keep)
    {
        foreach (Stack<Slab>? idle in _idle)
        {
            while (_pooledBytes > keep && idle is not null && idle.TryPop(out Slab? slab))
            {
                _idleBytes -= slab.ByteCount;
                _pooledBytes -= slab.ByteCount;
            }
        }
    }
}
