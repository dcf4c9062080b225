using System.Buffers;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>
/// Rows put together column by column, as models take them: named, typed, dense, row-major columns in one piece of batch memory that a device can copy from. Whoever
/// takes one disposes it. Not thread-safe for disposal; reading from several threads is fine.
/// </summary>
public sealed class TensorBatch : IDisposable, ISized, IEncodable<TensorBatch>
{
    private Lease? _lease;

    internal TensorBatch(BatchPlacement placement, IBatchMemory memory, long firstIndex)
        : this(placement, new Lease(memory.Rent(placement.ByteCount)), placement.Capacity, firstIndex)
    {
    }

    private TensorBatch(BatchPlacement placement, Lease lease, int count, long firstIndex) => (Placement, _lease, Count, FirstIndex) = (placement, lease, count, firstIndex);

    // The memory of a batch and of those shared from it.
    private sealed class Lease(BatchBuffer buffer)
    {
        internal int ReferenceCount = 1;

        internal BatchBuffer Buffer => buffer;
    }

    /// <summary>The columns as they were asked for.</summary>
    public BatchLayout Layout => Placement.Layout;

    /// <summary>Rows.</summary>
    public int Count { get; private set; }

    /// <summary>Elements that were put into batches before this one in the same pass: its first row's place among all.</summary>
    public long FirstIndex { get; }

    /// <summary>Where the memory of all columns begins, 64-byte aligned. Valid until the batch is disposed.</summary>
    public nint Address => Buffer.Address;

    /// <summary>Bytes of all columns, the gaps between them and rows missing in a last batch included.</summary>
    public long ByteCount => Placement.ByteCount;

    /// <summary>Whether it was disposed.</summary>
    public bool IsDisposed => _lease is null;

    internal BatchPlacement Placement { get; }

    /// <summary>The first byte of the memory; a reference to it keeps memory of the managed heap alive.</summary>
    internal ref byte Start => ref MemoryMarshal.GetReference(Buffer.AsSpan(0, 0));

    private BatchBuffer Buffer => _lease?.Buffer ?? throw new ObjectDisposedException(nameof(TensorBatch));

    /// <summary>A column by its place.</summary>
    public BatchColumn this[int ordinal]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(ordinal);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(ordinal, Layout.Columns.Length);
            return new BatchColumn(this, ordinal);
        }
    }

    /// <summary>A column by its name.</summary>
    /// <exception cref="ArgumentException">There is none of that name.</exception>
    public BatchColumn this[string name] => new(this, Layout.OrdinalOf(name));

    /// <summary>A batch of undefined content, to be filled by hand.</summary>
    /// <param name="layout">Columns of fixed shape.</param>
    /// <param name="count">Rows.</param>
    /// <param name="memory">Where it lies; null: <see cref="PinnedBatchMemory.Shared"/>.</param>
    public static TensorBatch Create(BatchLayout layout, int count, IBatchMemory? memory = null)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        if (layout.IsPadded) throw new ArgumentException("the layout has columns to be filled up: PaddedBatch makes such batches", nameof(layout));
        return new TensorBatch(layout.PlacementOf(count), memory ?? PinnedBatchMemory.Shared, 0);
    }

    /// <inheritdoc/>
    public void Encode(IBufferWriter<byte> destination) => TensorBatchCodec.Write(this, destination);

    /// <inheritdoc/>
    /// <exception cref="FormatException">The bytes are no batch.</exception>
    public static TensorBatch Decode(ReadOnlySpan<byte> bytes) => TensorBatchCodec.Read(bytes);

    /// <summary>Another owner of the same memory, to be disposed too: the memory goes back with the last one.</summary>
    public TensorBatch Share()
    {
        Lease lease = _lease ?? throw new ObjectDisposedException(nameof(TensorBatch));
        Interlocked.Increment(ref lease.ReferenceCount);
        return new TensorBatch(Placement, lease, Count, FirstIndex);
    }

    /// <summary>Gives the memory back, if nobody shares it. Safe to call twice.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _lease, null) is { } lease && Interlocked.Decrement(ref lease.ReferenceCount) == 0) lease.Buffer.Dispose();
    }

    /// <summary>Says that only the first <paramref name="count"/> rows are there.</summary>
    internal void SetCount(int count) => Count = count;

    internal Span<byte> Bytes(int column, int firstRow, int rowCount)
    {
        int rowByteCount = Placement.RowByteCount(column);
        return Buffer.AsSpan(Placement.Offset(column) + ((long)firstRow * rowByteCount), checked(rowCount * rowByteCount));
    }
}
