using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>A batch of elements as bytes: as they lie in memory where they hold no references, else each with its length before it.</summary>
internal sealed class ElementBatchCodec<T>(ElementCodec<T> codec) : ElementCodec<ElementBatch<T>>
{
    public override void Write(IBufferWriter<byte> destination, in ElementBatch<T> element)
    {
        Span<T> elements = element.Span;
        if (ElementBatch<T>.IsPlain)
        {
            destination.Write(AsBytes(elements));
            return;
        }
        ArrayBufferWriter<byte> bytes = new();
        foreach (ref T one in elements)
        {
            bytes.ResetWrittenCount();
            codec.Write(bytes, one);
            BinaryPrimitives.WriteInt32LittleEndian(destination.GetSpan(sizeof(int)), bytes.WrittenCount);
            destination.Advance(sizeof(int));
            destination.Write(bytes.WrittenSpan);
        }
    }

    public override ElementBatch<T> Read(ReadOnlySpan<byte> bytes)
    {
        if (!ElementBatch<T>.IsPlain) return ReadApart(bytes);
        if (bytes.Length % Unsafe.SizeOf<T>() != 0) throw new FormatException($"{bytes.Length} bytes are no whole number of {typeof(T).Name}");
        ElementBatch<T> batch = ElementBatch<T>.Rent(PinnedBatchMemory.Shared, bytes.Length / Unsafe.SizeOf<T>());
        bytes.CopyTo(AsBytes(batch.Room));
        batch.SetCount(batch.Capacity);
        return batch;
    }

    private ElementBatch<T> ReadApart(ReadOnlySpan<byte> bytes)
    {
        List<T> elements = [];
        try
        {
            while (!bytes.IsEmpty)
            {
                int length = BinaryPrimitives.ReadInt32LittleEndian(bytes);
                elements.Add(codec.Read(bytes.Slice(sizeof(int), length)));
                bytes = bytes[(sizeof(int) + length)..];
            }
        }
        catch
        {
            foreach (T one in elements) Ownership<T>.Release(one);
            throw;
        }
        ElementBatch<T> batch = ElementBatch<T>.Rent(PinnedBatchMemory.Shared, elements.Count);
        CollectionsMarshal.AsSpan(elements).CopyTo(batch.Room);
        batch.SetCount(elements.Count);
        return batch;
    }

    private static Span<byte> AsBytes(Span<T> elements) =>
        MemoryMarshal.CreateSpan(ref Unsafe.As<T, byte>(ref MemoryMarshal.GetReference(elements)), elements.Length * Unsafe.SizeOf<T>());
}
