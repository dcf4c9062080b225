using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>
/// Batch memory of the managed heap: pinned, 64-byte aligned, pooled. A buffer that is lost without being disposed is collected like any object.
/// </summary>
/// <param name="byteLimit">The most bytes that may be lent at a time, the unused parts of size classes included.</param>
/// <param name="cachedByteLimit">The most bytes kept for reuse; what comes back beyond that is left to the collector.</param>
public sealed class PinnedBatchMemory(long byteLimit = long.MaxValue, long cachedByteLimit = PooledBatchMemory.DefaultCachedByteLimit)
    : PooledBatchMemory(byteLimit, cachedByteLimit)
{
    private const int Alignment = 64;

    /// <summary>What pipelines use that are given no other memory.</summary>
    public static PinnedBatchMemory Shared { get; } = new();

    /// <inheritdoc/>
    protected override BatchBuffer Allocate(long byteCount) => byteCount <= Array.MaxLength - Alignment
        ? new PinnedArray((int)byteCount)
        : throw new BatchMemoryException($"a batch of {byteCount:N0} bytes does not fit one array of the managed heap ({Array.MaxLength:N0} bytes): make batches smaller, or give other batch memory");

    private sealed class PinnedArray : BatchBuffer
    {
        private readonly byte[] _array;
        private readonly int _start;

        internal PinnedArray(int byteCount)
        {
            _array = GC.AllocateUninitializedArray<byte>(byteCount + Alignment - 1, pinned: true);
            nint first = Marshal.UnsafeAddrOfPinnedArrayElement(_array, 0);
            Address = (first + Alignment - 1) & ~(nint)(Alignment - 1);
            _start = (int)(Address - first);
            ByteCount = byteCount;
        }

        public override nint Address { get; }

        public override long ByteCount { get; }

        // A span of the array itself keeps it alive.
        public override Span<byte> AsSpan(long offset, int length) => _array.AsSpan(_start + (int)offset, length);

        public override void Dispose()
        {
        }
    }
}
