using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// A batch as bytes, for caches and states: rows, first index, number of columns; for each column its name, type, extents; then the columns' bytes, without gaps. A padded
/// column is written as what it has become.
/// </summary>
internal static class TensorBatchCodec
{
    private const int MaxDimensionCount = 64;

    internal static void Write(TensorBatch batch, IBufferWriter<byte> destination)
    {
        WriteNumber(destination, batch.Count);
        WriteNumber(destination, batch.FirstIndex);
        WriteNumber(destination, batch.Layout.Columns.Length);
        for (int i = 0; i < batch.Layout.Columns.Length; i++)
        {
            BatchColumn column = batch[i];
            ReadOnlySpan<int> rowShape = column.Shape[1..];
            WriteNumber(destination, Encoding.UTF8.GetByteCount(column.Name));
            Encoding.UTF8.GetBytes(column.Name, destination);
            WriteNumber(destination, (int)column.Type);
            WriteNumber(destination, rowShape.Length);
            foreach (int extent in rowShape) WriteNumber(destination, extent);
        }
        for (int i = 0; i < batch.Layout.Columns.Length; i++) destination.Write(batch[i].Bytes);
    }

    /// <exception cref="FormatException">The bytes are no batch.</exception>
    internal static TensorBatch Read(ReadOnlySpan<byte> bytes)
    {
        try
        {
            int count = ReadNumber(ref bytes, int.MaxValue);
            long firstIndex = BinaryPrimitives.ReadInt64LittleEndian(bytes);
            bytes = bytes[sizeof(long)..];
            BatchLayout layout = ReadLayout(ref bytes);
            CheckLength(layout, count, bytes.Length);
            TensorBatch batch = new(layout.PlacementOf(count), PinnedBatchMemory.Shared, firstIndex);
            for (int i = 0; i < layout.Columns.Length; i++)
            {
                Span<byte> column = batch[i].Bytes;
                bytes[..column.Length].CopyTo(column);
                bytes = bytes[column.Length..];
            }
            return batch;
        }
        catch (Exception e) when (e is ArgumentException or OverflowException)
        {
            throw new FormatException($"these bytes are no batch: {e.Message}", e);
        }
    }

    private static BatchLayout ReadLayout(ref ReadOnlySpan<byte> bytes)
    {
        BatchLayout layout = BatchLayout.Empty;
        for (int left = ReadNumber(ref bytes, BatchLayout.MaxColumnCount); left > 0; left--)
        {
            int length = ReadNumber(ref bytes, bytes.Length);
            string name = Encoding.UTF8.GetString(bytes[..length]);
            bytes = bytes[length..];
            ElementType type = (ElementType)ReadNumber(ref bytes, (int)ElementType.Float64);
            int[] rowShape = new int[ReadNumber(ref bytes, MaxDimensionCount)];
            for (int d = 0; d < rowShape.Length; d++) rowShape[d] = ReadNumber(ref bytes, int.MaxValue);
            layout = layout.With(name, type, rowShape);
        }
        return layout;
    }

    // Before anything of that size is allocated.
    private static void CheckLength(BatchLayout layout, int count, int found)
    {
        long expected = 0;
        foreach (BatchColumnLayout column in layout.Columns)
        {
            long byteCount = checked((long)count * column.Type.ByteSize());
            foreach (int extent in column.RowShape) byteCount = checked(byteCount * extent);
            expected = checked(expected + byteCount);
        }
        if (expected != found) throw new FormatException($"the columns of a batch have {expected:N0} bytes, found {found:N0}");
    }

    private static void WriteNumber(IBufferWriter<byte> destination, long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(destination.GetSpan(sizeof(long)), value);
        destination.Advance(sizeof(long));
    }

    private static int ReadNumber(ref ReadOnlySpan<byte> bytes, int maximum)
    {
        long value = BinaryPrimitives.ReadInt64LittleEndian(bytes);
        bytes = bytes[sizeof(long)..];
        return value >= 0 && value <= maximum ? (int)value : throw new FormatException($"a number is {value}, expected 0 to {maximum}");
    }
}
