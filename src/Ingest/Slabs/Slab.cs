using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>
/// A large piece of memory at one address that records are slices of. Leases are counted: a reader holds some while it fills and frames, each record given out holds
/// one; when the last is released the slab goes back to its pool. Thread-safe but for the bytes themselves.
/// </summary>
internal sealed class Slab
{
    // Pages: what the kernel copies into is written fastest from the start of a cache line on.
    private const int Alignment = 4096;

    private readonly SlabPool? _pool;
    private int _leases;

    /// <summary>Made by a pool, or, with none, for bytes that live by themselves.</summary>
    internal Slab(SlabPool? pool, int byteCount, bool isPooled)
    {
        _pool = pool;
        IsPooled = isPooled;
        _leases = 1;
        ByteCount = byteCount;
        if (pool is null)
        {
            Bytes = GC.AllocateUninitializedArray<byte>(byteCount);
            GC.SuppressFinalize(this);
            return;
        }
        Bytes = GC.AllocateUninitializedArray<byte>(byteCount + Alignment, pinned: true);
        Origin = (int)(-Address(0) & (Alignment - 1));
    }

    /// <summary>A slab that was forgotten with leases on it: its memory is the garbage collector's, the pool's bound must not count it for ever.</summary>
    ~Slab()
    {
        if (_leases > 0) _pool?.Forget(this);
    }

    /// <summary>The memory; its first <see cref="Origin"/> bytes are not used.</summary>
    internal byte[] Bytes { get; }

    /// <summary>Where in <see cref="Bytes"/> the usable memory begins.</summary>
    internal int Origin { get; }

    /// <summary>Usable bytes from <see cref="Origin"/> on.</summary>
    internal int ByteCount { get; }

    /// <summary>Whether it goes back to the pool; else it is dropped when the last lease ends.</summary>
    internal bool IsPooled { get; }

    /// <summary>Behind the last usable byte in <see cref="Bytes"/>.</summary>
    internal int End => Origin + ByteCount;

    /// <summary>The same as memory that owns one lease; only of slabs of a pool.</summary>
    internal SlabMemory Memory => field ??= new SlabMemory(this);

    /// <summary>Leases held now.</summary>
    internal int LeaseCount => Volatile.Read(ref _leases);

    /// <summary>The usable memory.</summary>
    internal Span<byte> Span => Bytes.AsSpan(Origin, ByteCount);

    /// <summary>Adds leases to at least one that the caller holds.</summary>
    internal void Lease(int count = 1)
    {
        if (Interlocked.Add(ref _leases, count) > count) return;
        Interlocked.Add(ref _leases, -count);
        throw new ObjectDisposedException(nameof(Record), "the record was disposed before: its memory may hold other data by now");
    }

    /// <summary>Ends leases; with the last one the slab goes back to its pool.</summary>
    internal void Release(int count = 1)
    {
        int left = Interlocked.Add(ref _leases, -count);
        if (left > 0) return;
        if (left < 0) throw new InvalidOperationException("a record was disposed twice: whoever takes a record disposes it once, and Retain gives another lease to keep");
        _pool?.Return(this);
    }

    /// <summary>The pool lends it anew.</summary>
    internal void Revive() => Volatile.Write(ref _leases, 1);

    private unsafe nint Address(int index) => (nint)Unsafe.AsPointer(ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(Bytes), index));
}
