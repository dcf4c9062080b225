using ILGPU;

namespace DistTrain.Kernels;

/// <summary>Sums over the threads of a GPU group, in group memory and in a fixed order (PoCL has no sub-groups).</summary>
internal static class GroupSum
{
    /// <summary>The most threads a group may have.</summary>
    public const int MaxGroupSize = 256;

    /// <summary>The sum of every thread's value, given to all. <paramref name="shared"/> holds <see cref="MaxGroupSize"/> floats; all threads must call.</summary>
    public static float All(ArrayView<float> shared, float value)
    {
        int thread = Group.IdxX;
        Group.Barrier();
        shared[thread] = value;
        for (int offset = Group.DimX / 2; offset > 0; offset /= 2)
        {
            Group.Barrier();
            if (thread < offset) shared[thread] += shared[thread + offset];
        }
        Group.Barrier();
        return shared[0];
    }
}
