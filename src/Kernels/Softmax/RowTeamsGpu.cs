using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// How row-wise GPU kernels share rows out: a team of 2^k threads works on a row, a group holds as many teams as fit. Long rows get the whole
/// group, short rows share one. Sizes are the same for all groups, so every thread meets every barrier.
/// </summary>
internal readonly struct RowTeams(GpuDevice gpu, long rowCount, int columnCount)
{
    /// <summary>Threads of a row.</summary>
    public int TeamSize { get; } = (int)Math.Min((uint)gpu.GroupSize, System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, columnCount)));

    /// <summary>Groups for all rows.</summary>
    public KernelConfig Grid => gpu.RowGrid((rowCount + (gpu.GroupSize / TeamSize) - 1) / (gpu.GroupSize / TeamSize));
}

/// <summary>
/// Reductions over a row's team, in group memory: sub-groups are not to be had everywhere (PoCL 3.1). Two levels of 16 rather than a tree of
/// halves: three barriers instead of nine, and none inside a loop, which PoCL takes minutes to compile. Orders are fixed.
/// </summary>
internal static class RowGroup
{
    /// <summary>The most threads of a group: see <see cref="GpuDevice.GroupSize"/>.</summary>
    public const int MaxGroupSize = 256;

    private const int Fan = 16;

    /// <summary>The row of this thread's team; may lie beyond the last row.</summary>
    public static long Row(int teamSize) => ((long)Grid.IdxX * (Group.DimX / teamSize)) + (Group.IdxX / teamSize);

    /// <summary>The sum over the team of <paramref name="value"/>, in all its threads.</summary>
    public static float Sum(ArrayView<float> shared, float value, int teamSize)
    {
        int me = Group.IdxX, lane = me % teamSize, first = me - lane;
        Group.Barrier();
        shared[me] = value;
        Group.Barrier();
        for (int other = lane + Fan; other < teamSize && lane < Fan; other += Fan) shared[me] += shared[first + other];
        Group.Barrier();
        float sum = shared[first];
        for (int other = 1; other < Fan && other < teamSize; other++) sum += shared[first + other];
        return sum;
    }

    /// <summary>The largest <paramref name="value"/> of the team, in all its threads. NaN may lose.</summary>
    public static float Max(ArrayView<float> shared, float value, int teamSize)
    {
        int me = Group.IdxX, lane = me % teamSize, first = me - lane;
        Group.Barrier();
        shared[me] = value;
        Group.Barrier();
        for (int other = lane + Fan; other < teamSize && lane < Fan; other += Fan)
            if (shared[first + other] > shared[me]) shared[me] = shared[first + other];
        Group.Barrier();
        float max = shared[first];
        for (int other = 1; other < Fan && other < teamSize; other++)
            if (shared[first + other] > max) max = shared[first + other];
        return max;
    }
}
