namespace DistTrain.Kernels;

/// <summary>
/// Work memory for the items of one job: as many equal pieces as threads may run items at once. An item takes a free piece when it starts
/// and gives it back at its end, so memory grows with the threads and not with the items.
/// </summary>
internal readonly unsafe struct ScratchSlots
{
    // A flag a cache line, so that threads taking pieces don't fight over one line.
    private const int FlagStride = 16;
    private readonly int* _taken;
    private readonly float* _memory;
    private readonly long _slotElementCount;
    private readonly int _count;

    private ScratchSlots(Tensor memory, int count, long slotElementCount)
    {
        _taken = (int*)memory.Pointer;
        _memory = (float*)memory.Pointer + ((long)count * FlagStride);
        _slotElementCount = slotElementCount;
        _count = count;
        new Span<int>(_taken, count * FlagStride).Clear();
    }

    /// <summary>Pieces of <paramref name="elementCount"/> floats, 64-byte aligned, for every thread of the device. Dispose the memory after the job.</summary>
    public static Tensor Allocate(ExecutionStream stream, CpuDevice cpu, long elementCount, out ScratchSlots slots)
    {
        long slot = (elementCount + 15) / 16 * 16;
        int count = cpu.Team.ThreadCount;
        Tensor memory = Tensor.Allocate(stream, new Shape(count, checked((int)(slot + FlagStride))));
        slots = new ScratchSlots(memory, count, slot);
        return memory;
    }

    /// <summary>Takes a free piece; there always is one, as no more threads than pieces run items.</summary>
    public float* Take(out int slot)
    {
        for (slot = 0; ; slot = slot + 1 == _count ? 0 : slot + 1)
        {
            if (Interlocked.CompareExchange(ref _taken[slot * FlagStride], 1, 0) == 0) return _memory + (slot * _slotElementCount);
        }
    }

    public void GiveBack(int slot) => Volatile.Write(ref _taken[slot * FlagStride], 0);
}
