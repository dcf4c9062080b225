using System.Numerics;

namespace DistTrain.Ingest;

/// <summary>Batch memory that is kept for reuse by size class, so that a pipeline in its stride allocates none. Thread-safe.</summary>
public abstract class PooledBatchMemory : IBatchMemory, IDisposable
{
    /// <summary>What is kept for reuse at most, unless said otherwise.</summary>
    protected const long DefaultCachedByteLimit = 512L << 20;

    private const int SmallestByteCount = 256;

    private readonly Lock _lock = new();
    private readonly Dictionary<long, Stack<BatchBuffer>> _free = [];
    private readonly long _byteLimit, _cachedByteLimit;
    private bool _isDisposed;

    /// <param name="byteLimit">The most bytes that may be lent at a time, the unused parts of size classes included.</param>
    /// <param name="cachedByteLimit">The most bytes kept for reuse; what comes back beyond that is freed.</param>
    protected PooledBatchMemory(long byteLimit, long cachedByteLimit)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(byteLimit);
        ArgumentOutOfRangeException.ThrowIfNegative(cachedByteLimit);
        (_byteLimit, _cachedByteLimit) = (byteLimit, cachedByteLimit);
    }

    /// <summary>Buffers lent now. Zero when everything was disposed.</summary>
    public int RentedCount { get; private set; }

    /// <summary>Bytes lent now, of whole size classes.</summary>
    public long RentedByteCount { get; private set; }

    /// <summary>Bytes kept for reuse.</summary>
    public long CachedByteCount { get; private set; }

    /// <summary>Pieces of memory allocated so far. Does not move in a steady state.</summary>
    public long AllocationCount { get; private set; }

    /// <inheritdoc/>
    /// <exception cref="BatchMemoryException">More than there is, or more than the limit allows.</exception>
    public BatchBuffer Rent(long byteCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(byteCount);
        long rounded = SizeClassOf(byteCount);
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (rounded > _byteLimit - RentedByteCount)
                throw new BatchMemoryException($"batch memory is limited to {_byteLimit:N0} bytes: {RentedByteCount:N0} are lent in {RentedCount} buffers, another {rounded:N0} were asked for; dispose batches sooner, buffer fewer, or raise the limit");
            BatchBuffer memory = TryTakeFree(rounded) ?? AllocateCounted(rounded);
            RentedCount++;
            RentedByteCount += rounded;
            return new Loan(this, memory, byteCount);
        }
    }

    /// <summary>Frees the memory kept; buffers still lent follow when they are disposed.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Frees the memory kept. Called with true: there is no finalizer.</summary>
    protected virtual void Dispose(bool disposing)
    {
        lock (_lock)
        {
            _isDisposed = true;
            foreach (Stack<BatchBuffer> buffers in _free.Values)
                while (buffers.TryPop(out BatchBuffer? memory)) memory.Dispose();
            CachedByteCount = 0;
        }
    }

    /// <summary>Allocates memory of this kind; one call at a time. Disposing what it gives frees it.</summary>
    /// <exception cref="BatchMemoryException">There is no such memory.</exception>
    protected abstract BatchBuffer Allocate(long byteCount);

    /// <summary>Four classes a power of two, as usual for caching allocators: at most a quarter of a buffer is unused, and batches of padded sequences share classes.</summary>
    internal static long SizeClassOf(long byteCount)
    {
        long wanted = Math.Max(byteCount, SmallestByteCount);
        long step = 1L << (BitOperations.Log2((ulong)wanted) - 2);
        return (wanted + step - 1) / step * step;
    }

    private BatchBuffer? TryTakeFree(long byteCount)
    {
        if (!_free.TryGetValue(byteCount, out Stack<BatchBuffer>? buffers) || !buffers.TryPop(out BatchBuffer? memory)) return null;
        CachedByteCount -= byteCount;
        return memory;
    }

    private BatchBuffer AllocateCounted(long byteCount)
    {
        BatchBuffer memory = Allocate(byteCount);
        AllocationCount++;
        return memory;
    }

    private void Return(BatchBuffer memory)
    {
        lock (_lock)
        {
            RentedCount--;
            RentedByteCount -= memory.ByteCount;
            if (_isDisposed || CachedByteCount + memory.ByteCount > _cachedByteLimit)
            {
                memory.Dispose();
                return;
            }
            if (!_free.TryGetValue(memory.ByteCount, out Stack<BatchBuffer>? buffers)) _free[memory.ByteCount] = buffers = new Stack<BatchBuffer>();
            buffers.Push(memory);
            CachedByteCount += memory.ByteCount;
        }
    }

    // A new one for each loan, so that disposing twice can't give back what somebody else has borrowed since.
    private sealed class Loan(PooledBatchMemory owner, BatchBuffer memory, long byteCount) : BatchBuffer
    {
        private BatchBuffer? _memory = memory;

        public override nint Address => Memory.Address;

        public override long ByteCount => byteCount;

        private BatchBuffer Memory => _memory ?? throw new ObjectDisposedException(nameof(BatchBuffer));

        public override Span<byte> AsSpan(long offset, int length)
        {
            CheckPart(offset, length);
            return Memory.AsSpan(offset, length);
        }

        public override void Dispose()
        {
            if (Interlocked.Exchange(ref _memory, null) is { } lent) owner.Return(lent);
        }
    }
}
