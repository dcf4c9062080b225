using System.Runtime.CompilerServices;

namespace DistTrain.Kernels;

/// <summary>
/// Equal pieces of scratch memory, one for each thread of a team: an item of a job takes a free one and gives it back, so the piece stays
/// in the cache of a core that has just used it.
/// </summary>
internal readonly unsafe struct ScratchSlots(byte* memory, int count, long slotElementCount)
{
    private const int FlagStride = 64; // a cache line each

    /// <summary>Bytes that so many pieces need; memory must be aligned to 64 bytes.</summary>
    public static long ByteCount(int count, long slotElementCount) => count * (FlagStride + (Padded(slotElementCount) * sizeof(float)));

    /// <summary>Makes all pieces free; once, before the first job.</summary>
    public void Initialize()
    {
        for (int i = 0; i < count; i++) Flag(i) = 0;
    }

    /// <summary>A free piece. There always is one, since no more threads than pieces run a job's items.</summary>
    public float* Take(out int slot)
    {
        for (slot = 0; ; slot = slot + 1 == count ? 0 : slot + 1)
        {
            if (Flag(slot) == 0 && Interlocked.CompareExchange(ref Flag(slot), 1, 0) == 0)
                return (float*)(memory + ((long)count * FlagStride)) + (slot * Padded(slotElementCount));
        }
    }

    public void Return(int slot) => Volatile.Write(ref Flag(slot), 0);

    private static long Padded(long elementCount) => (elementCount + 15) / 16 * 16;

    private ref int Flag(int slot) => ref Unsafe.AsRef<int>(memory + ((long)slot * FlagStride));
}
