using System.Numerics;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>
/// Batch memory of the managed heap: pinned, 64-byte aligned, kept for reuse by size class, so that a pipeline in its stride allocates none. Thread-safe. A buffer
/// that is lost without being disposed is collected like any object.
/// </summary>
public sealed class PinnedBatchMemory : IBatchMemory, IDisposable
{
    private const int Alignment = 64, SmallestByteCount = 256;
    private const long DefaultCachedByteLimit = 512L << 20;

    private readonly Lock _lock = new();
    private readonly Dictionary<long, Stack<Block>> _free = [];
    private readonly long _byteLimit, _cachedByteLimit;
    private bool _isDisposed;

    /// <param name="byteLimit">The most bytes that may be lent at a time, the unused parts of size classes included.</param>
    /// <param name="cachedByteLimit">The most bytes kept for reuse; what comes back beyond that is left to the collector.</param>
    public PinnedBatchMemory(long byteLimit = long.MaxValue, long cachedByteLimit = DefaultCachedByteLimit)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(byteLimit);
        ArgumentOutOfRangeException.ThrowIfNegative(cachedByteLimit);
        (_byteLimit, _cachedByteLimit) = (byteLimit, cachedByteLimit);
    }

    private sealed record Block(byte[] Array, int Start, nint Address, long ByteCount);

    /// <summary>What pipelines use that are given no other memory.</summary>
    public static PinnedBatchMemory Shared { get; } = new();

    /// <summary>Buffers lent now. Zero when everything was disposed.</summary>
    public int RentedCount { get; private set; }

    /// <summary>Bytes lent now, of whole size classes.</summary>
    public long RentedByteCount { get; private set; }

    /// <summary>Bytes kept for reuse.</summary>
    public long CachedByteCount { get; private set; }

    /// <summary>Arrays allocated so far. Does not move in a steady state.</summary>
    public long AllocationCount { get; private set; }

    /// <inheritdoc/>
    /// <exception cref="BatchMemoryException">More than an array can hold, or more than the limit allows.</exception>
    public BatchBuffer Rent(long byteCount)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(byteCount);
        if (byteCount > Array.MaxLength - Alignment)
            throw new BatchMemoryException($"a batch of {byteCount:N0} bytes does not fit one array of the managed heap ({Array.MaxLength:N0} bytes): make batches smaller, or give other batch memory");
        long rounded = SizeClassOf(byteCount);
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            if (rounded > _byteLimit - RentedByteCount)
                throw new BatchMemoryException($"batch memory is limited to {_byteLimit:N0} bytes: {RentedByteCount:N0} are lent in {RentedCount} buffers, another {rounded:N0} were asked for; dispose batches sooner, buffer fewer, or raise the limit");
            Block block = TryTakeFree(rounded) ?? Allocate(rounded);
            RentedCount++;
            RentedByteCount += rounded;
            return new Buffer(this, block, byteCount);
        }
    }

    /// <summary>Gives kept memory back to the collector; buffers still lent follow when they are disposed.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            _free.Clear();
            CachedByteCount = 0;
        }
    }

    /// <summary>Four classes a power of two, as usual for caching allocators: at most a quarter of a buffer is unused, and batches of padded sequences share classes.</summary>
    internal static long SizeClassOf(long byteCount)
    {
        long wanted = Math.Max(byteCount, SmallestByteCount);
        long step = 1L << (BitOperations.Log2((ulong)wanted) - 2);
        return Math.Min((wanted + step - 1) / step * step, Array.MaxLength - Alignment);
    }

    private Block? TryTakeFree(long byteCount)
    {
        if (!_free.TryGetValue(byteCount, out Stack<Block>? blocks) || !blocks.TryPop(out Block? block)) return null;
        CachedByteCount -= byteCount;
        return block;
    }

    private Block Allocate(long byteCount)
    {
        byte[] array = GC.AllocateUninitializedArray<byte>((int)byteCount + Alignment - 1, pinned: true);
        nint first = Marshal.UnsafeAddrOfPinnedArrayElement(array, 0), aligned = (first + Alignment - 1) & ~(nint)(Alignment - 1);
        AllocationCount++;
        return new Block(array, (int)(aligned - first), aligned, byteCount);
    }

    private void Return(Block block)
    {
        lock (_lock)
        {
            RentedCount--;
            RentedByteCount -= block.ByteCount;
            if (_isDisposed || CachedByteCount + block.ByteCount > _cachedByteLimit) return;
            if (!_free.TryGetValue(block.ByteCount, out Stack<Block>? blocks)) _free[block.ByteCount] = blocks = new Stack<Block>();
            blocks.Push(block);
            CachedByteCount += block.ByteCount;
        }
    }

    // A new one for each loan, so that disposing twice can't give back what somebody else has borrowed since.
    private sealed class Buffer(PinnedBatchMemory owner, Block block, long byteCount) : BatchBuffer
    {
        private Block? _block = block;

        public override nint Address => Lent.Address;

        public override long ByteCount => byteCount;

        private Block Lent => _block ?? throw new ObjectDisposedException(nameof(BatchBuffer));

        // A span of the array itself keeps it alive.
        public override Span<byte> AsSpan(long offset, int length)
        {
            CheckPart(offset, length);
            return Lent.Array.AsSpan(Lent.Start + (int)offset, length);
        }

        public override void Dispose()
        {
            if (Interlocked.Exchange(ref _block, null) is { } lent) owner.Return(lent);
        }
    }
}
