using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// Reductions in passes: the first turns the input into partial results [chunk, output], each further one reduces the chunks, until one
/// is left. Where addends lie side by side a group reduces a chunk in group memory; where outputs do, a thread reduces a chunk of one
/// output, so that neighbours read neighbours. Chunks depend on shapes and the group size only.
/// </summary>
internal static class ReductionGpu
{
    private const int AddendsOfThread = 64, RowsOfThread = 128, FewestAddendsOfGroup = 32;

    public static void Run<TReducer>(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, ReductionLayout layout, float divisor, bool accumulate)
        where TReducer : unmanaged, IReducer
    {
        Tensor source = input;
        for (int isPartial = 0; ; isPartial = 1)
        {
            bool isGroupwise = layout.IsInnerReduced == 1 && layout.ReducedCount >= FewestAddendsOfGroup;
            long chunkLength = isGroupwise ? (long)gpu.GroupSize * AddendsOfThread : RowsOfThread;
            long chunkCount = Math.Max(1, (layout.ReducedCount + chunkLength - 1) / chunkLength);
            bool isLast = chunkCount == 1;
            Tensor target = isLast ? output : Tensor.Allocate(stream, new Shape(checked((int)chunkCount), checked((int)layout.OutputCount)));
            Pass pass = new()
            {
                Layout = layout, ChunkLength = chunkLength, ChunkCount = chunkCount, Divisor = divisor,
                IsPartial = isPartial, IsLast = isLast ? 1 : 0, Accumulate = accumulate ? 1 : 0,
            };
            Launch<TReducer>(gpu, stream, target, source, pass, isGroupwise);
            if (isPartial == 1) source.Dispose();
            if (isLast) return;
            source = target;
            layout = new ReductionLayout(target.Shape, 1);
        }
    }

    private static void Launch<TReducer>(GpuDevice gpu, ExecutionStream stream, Tensor target, Tensor source, Pass pass, bool isGroupwise)
        where TReducer : unmanaged, IReducer
    {
        long taskCount = pass.ChunkCount * pass.Layout.OutputCount;
        if (isGroupwise)
        {
            gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, Pass>(GroupKernel<TReducer>))(
                GpuDevice.Native(stream), gpu.RowGrid(taskCount), GpuDevice.View<float>(target), GpuDevice.View<float>(source), pass);
        }
        else
        {
            gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, Pass>(ThreadKernel<TReducer>))(
                GpuDevice.Native(stream), gpu.GridFor(taskCount), GpuDevice.View<float>(target), GpuDevice.View<float>(source), pass);
        }
    }

    private static void ThreadKernel<TReducer>(ArrayView<float> target, ArrayView<float> source, Pass pass) where TReducer : unmanaged, IReducer
    {
        TReducer reducer = default;
        long taskCount = pass.ChunkCount * pass.Layout.OutputCount;
        for (long task = Grid.GlobalLinearIndex; task < taskCount; task += (long)Grid.DimX * Group.DimX)
        {
            long start = pass.Layout.KeptOffset(task % pass.Layout.OutputCount), first = task / pass.Layout.OutputCount * pass.ChunkLength;
            long last = first + pass.ChunkLength < pass.Layout.ReducedCount ? first + pass.ChunkLength : pass.Layout.ReducedCount;
            float value = reducer.Identity;
            for (long i = first; i < last; i++)
            {
                float x = source[start + pass.Layout.ReducedOffset(i)];
                value = pass.IsPartial == 1 ? reducer.Combine(value, x) : reducer.Add(value, x);
            }
            if (pass.IsLast == 1) value = reducer.Finish(value, pass.Divisor);
            target[task] = pass.IsLast == 1 && pass.Accumulate == 1 ? target[task] + value : value;
        }
    }

    private static void GroupKernel<TReducer>(ArrayView<float> target, ArrayView<float> source, Pass pass) where TReducer : unmanaged, IReducer
    {
        TReducer reducer = default;
        ArrayView<float> shared = SharedMemory.Allocate<float>(256);
        long task = Grid.IdxX;
        long start = pass.Layout.KeptOffset(task % pass.Layout.OutputCount), first = task / pass.Layout.OutputCount * pass.ChunkLength;
        long last = first + pass.ChunkLength < pass.Layout.ReducedCount ? first + pass.ChunkLength : pass.Layout.ReducedCount;
        float value = reducer.Identity;
        for (long i = first + Group.IdxX; i < last; i += Group.DimX)
        {
            float x = source[start + pass.Layout.ReducedOffset(i)];
            value = pass.IsPartial == 1 ? reducer.Combine(value, x) : reducer.Add(value, x);
        }
        shared[Group.IdxX] = value;
        Group.Barrier();
        for (int half = Group.DimX / 2; half > 0; half /= 2)
        {
            if (Group.IdxX < half) shared[Group.IdxX] = reducer.Combine(shared[Group.IdxX], shared[Group.IdxX + half]);
            Group.Barrier();
        }
        if (Group.IdxX != 0) return;
        value = pass.IsLast == 1 ? reducer.Finish(shared[0], pass.Divisor) : shared[0];
        target[task] = pass.IsLast == 1 && pass.Accumulate == 1 ? target[task] + value : value;
    }

    /// <summary>What one pass does. Flags are 0 or 1: kernels take no booleans.</summary>
    internal struct Pass
    {
        public ReductionLayout Layout;
        public long ChunkLength, ChunkCount;
        public float Divisor;
        public int IsPartial, IsLast, Accumulate;
    }
}
