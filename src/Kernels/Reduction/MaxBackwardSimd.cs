namespace DistTrain.Kernels;

/// <summary>An item is a block of outputs: each finds its first maximum and writes there alone. A scan of integers and comparisons: scalar.</summary>
internal static unsafe class MaxBackwardSimd
{
    public static void Run(CpuDevice cpu, Tensor dInput, Tensor dOutput, Tensor input, Tensor output, ReductionLayout layout)
    {
        ScanKernel kernel = new()
        {
            DInput = (float*)dInput.Pointer,
            DOutput = (float*)dOutput.Pointer,
            Input = (float*)input.Pointer,
            Output = (float*)output.Pointer,
            Layout = layout,
            OutputsOfItem = Math.Max(1, ElementwiseSimd.BlockElementCount / layout.ReducedCount),
        };
        cpu.Run(kernel, checked((int)((layout.OutputCount + kernel.OutputsOfItem - 1) / kernel.OutputsOfItem)));
    }

    private struct ScanKernel : ISimdKernel
    {
        public float* DInput, DOutput, Input, Output;
        public ReductionLayout Layout;
        public long OutputsOfItem;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long end = Math.Min(Layout.OutputCount, (item + 1) * OutputsOfItem);
            for (long output = item * OutputsOfItem; output < end; output++)
            {
                long start = Layout.KeptOffset(output);
                for (long i = 0; i < Layout.ReducedCount; i++)
                {
                    long place = start + Layout.ReducedOffset(i);
                    float x = Input[place];
                    // Equal, or both NaN.
                    if (!x.Equals(Output[output]) && x != Output[output]) continue;
                    DInput[place] = DOutput[output];
                    break;
                }
            }
        }
    }
}
