namespace DistTrain.Kernels;

/// <summary>Blocks of elements on the team.</summary>
internal static unsafe class GradientUnscaleSimd
{
    public static void Apply(CpuDevice cpu, Tensor gradient, float factor, Tensor mark) =>
        cpu.Run(new UnscaleKernel { Gradient = (float*)gradient.Pointer, Mark = (int*)mark.Pointer, ElementCount = gradient.ElementCount, Factor = factor }, ElementwiseSimd.BlockCount(gradient.ElementCount));

    private struct UnscaleKernel : ISimdKernel
    {
        public float* Gradient;
        public int* Mark;
        public long ElementCount;
        public float Factor;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long i = (long)item * ElementwiseSimd.BlockElementCount, end = Math.Min(ElementCount, i + ElementwiseSimd.BlockElementCount);
            // 0·x is 0 of any sign for finite x, else NaN, which stays in the sum.
            V factor = V.Broadcast(Factor), zeros = V.Zero;
            for (; i <= end - V.Count; i += V.Count)
            {
                V scaled = V.Load(Gradient + i) * factor;
                V.Store(scaled, Gradient + i);
                zeros = V.MultiplyAdd(scaled, V.Zero, zeros);
            }
            int rest = (int)(end - i);
            if (rest > 0)
            {
                V scaled = V.LoadPartial(Gradient + i, rest, 0f) * factor;
                V.StorePartial(scaled, Gradient + i, rest);
                zeros = V.MultiplyAdd(scaled, V.Zero, zeros);
            }
            // Several items may write: the same.
            if (float.IsNaN(V.Sum(zeros))) *Mark = 1;
        }
    }
}
