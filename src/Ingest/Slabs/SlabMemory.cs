using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>A slab as what pipes take memory as: disposing ends one lease. Records framed in a pipe's memory find their slab through it.</summary>
internal sealed class SlabMemory(Slab slab) : MemoryManager<byte>
{
    internal Slab Slab => slab;

    public override Span<byte> GetSpan() => slab.Span;

    public override unsafe MemoryHandle Pin(int elementIndex = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(elementIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(elementIndex, slab.ByteCount);
        // Slabs of pools don't move.
        return new MemoryHandle(Unsafe.AsPointer(ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(slab.Bytes), slab.Origin + elementIndex)));
    }

    public override void Unpin()
    {
    }

    protected override bool TryGetArray(out ArraySegment<byte> segment)
    {
        segment = new ArraySegment<byte>(slab.Bytes, slab.Origin, slab.ByteCount);
        return true;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) slab.Release();
    }
}

/// <summary>Lends slabs to pipes.</summary>
internal sealed class SlabMemoryPool(SlabPool slabs, int segmentByteCount) : MemoryPool<byte>
{
    public override int MaxBufferSize => SlabPool.DefaultByteCount;

    public override IMemoryOwner<byte> Rent(int minBufferSize = -1) => slabs.Rent(Math.Max(minBufferSize, segmentByteCount)).Memory;

    protected override void Dispose(bool disposing)
    {
        // The slabs are the pipeline's.
    }
}
