using System.Runtime.Intrinsics;

namespace DistTrain.Kernels;

/// <summary>
/// <see cref="HostConversion"/> a block of elements at a time, the blocks divided among the device's threads. Bound by memory, so 256-bit
/// vectors (pairs of 128-bit ones where there are no wider) serve every instruction set, with equal bits.
/// </summary>
internal static unsafe class CastSimd
{
    public static void Convert(CpuDevice cpu, Tensor output, Tensor input)
    {
        ConvertKernel kernel = new()
        {
            Output = (void*)output.Pointer,
            Input = (void*)input.Pointer,
            ElementCount = output.ElementCount,
            From = input.DType,
            To = output.DType,
        };
        cpu.Run(kernel, ElementwiseSimd.BlockCount(output.ElementCount));
    }

    private struct ConvertKernel : ISimdKernel
    {
        public void* Output;
        public void* Input;
        public long ElementCount;
        public DType From, To;

        public readonly void Run<V>(int item) where V : unmanaged, ISimd<V>
        {
            long start = (long)item * ElementwiseSimd.BlockElementCount;
            int count = (int)Math.Min(ElementwiseSimd.BlockElementCount, ElementCount - start);
            switch (From, To)
            {
                case (DType.F32, _): HostConversion.Narrow(To, (float*)Input + start, (ushort*)Output + start, count); break;
                case (DType.F16 or DType.BF16, _): HostConversion.Widen(From, (ushort*)Input + start, (float*)Output + start, count); break;
                default: ToFloat((int*)Input + start, (float*)Output + start, count); break;
            }
        }

        private static void ToFloat(int* input, float* output, int count)
        {
            int i = 0;
            for (; i <= count - 8; i += 8) Vector256.ConvertToSingle(Vector256.Load(input + i)).Store(output + i);
            for (; i < count; i++) output[i] = input[i];
        }
    }
}
