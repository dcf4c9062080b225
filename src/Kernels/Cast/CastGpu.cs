using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread an element; 16-bit types are 16-bit integers here.</summary>
internal static class CastGpu
{
    public static void Convert(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input)
    {
        AcceleratorStream native = GpuDevice.Native(stream);
        KernelConfig grid = gpu.GridFor(output.ElementCount);
        int isHalf = input.DType == DType.F16 || output.DType == DType.F16 ? 1 : 0;
        if (input.DType == DType.I32)
        {
            gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<int>>(FromIntegerKernel))(
                native, grid, GpuDevice.View<float>(output), GpuDevice.View<int>(input));
        }
        else if (input.DType == DType.F32)
        {
            gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<ushort>, ArrayView<float>, int>(NarrowKernel))(
                native, grid, GpuDevice.View<ushort>(output), GpuDevice.View<float>(input), isHalf);
        }
        else
        {
            gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<ushort>, int>(WidenKernel))(
                native, grid, GpuDevice.View<float>(output), GpuDevice.View<ushort>(input), isHalf);
        }
    }

    private static void NarrowKernel(ArrayView<ushort> output, ArrayView<float> input, int isHalf)
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
            output[i] = isHalf == 1 ? SixteenBits.ToHalf(input[i]) : SixteenBits.ToBrain(input[i]);
    }

    private static void WidenKernel(ArrayView<float> output, ArrayView<ushort> input, int isHalf)
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
            output[i] = isHalf == 1 ? SixteenBits.FromHalf(input[i]) : SixteenBits.FromBrain(input[i]);
    }

    private static void FromIntegerKernel(ArrayView<float> output, ArrayView<int> input)
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX) output[i] = input[i];
    }
}
