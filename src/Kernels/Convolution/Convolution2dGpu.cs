using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread an output element.</summary>
internal static class Convolution2dGpu
{
    public static void Forward<TActivation>(
        GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, Tensor weight, Tensor? bias, in ConvolutionGeometry geometry)
        where TActivation : unmanaged, IUnaryOperator =>
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, ConvolutionGeometry>(ForwardKernel<TActivation>))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount),
            GpuDevice.View<float>(output), GpuDevice.View<float>(input), GpuDevice.View<float>(weight),
            GpuDevice.View<float>(bias ?? weight), bias is null ? 0 : 1, geometry);

    public static void BackwardInput(
        GpuDevice gpu, ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor weight, in ConvolutionGeometry geometry) =>
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ConvolutionGeometry>(BackwardInputKernel))(
            GpuDevice.Native(stream), gpu.GridFor(dInput.ElementCount),
            GpuDevice.View<float>(dInput), GpuDevice.View<float>(dOutput), GpuDevice.View<float>(weight), geometry);

    public static void BackwardWeight(
        GpuDevice gpu, ExecutionStream stream, Tensor dWeight, Tensor? dBias, Tensor dOutput, Tensor input,
        in ConvolutionGeometry geometry, bool accumulate)
    {
        if (dWeight.ElementCount > 0)
        {
            gpu.Kernel(static accelerator =>
                accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ConvolutionGeometry, int>(BackwardWeightKernel))(
                GpuDevice.Native(stream), gpu.GridFor(dWeight.ElementCount),
                GpuDevice.View<float>(dWeight), GpuDevice.View<float>(dOutput), GpuDevice.View<float>(input), geometry, accumulate ? 1 : 0);
        }
        if (dBias is null || dBias.ElementCount == 0) return;
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ConvolutionGeometry, int>(BackwardBiasKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(dBias.ElementCount),
            GpuDevice.View<float>(dBias), GpuDevice.View<float>(dOutput), geometry, accumulate ? 1 : 0);
    }

    private static void ForwardKernel<TActivation>(
        ArrayView<float> output, ArrayView<float> input, ArrayView<float> weight, ArrayView<float> bias, int hasBias, ConvolutionGeometry g)
        where TActivation : unmanaged, IUnaryOperator
    {
        TActivation activation = default;
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
        {
            int x = (int)(i % g.OutputWidth), y = (int)(i / g.OutputWidth % g.OutputHeight);
            long plane = i / g.OutputPlane;
            int o = (int)(plane % (g.Groups * g.OutputChannels));
            long n = plane / (g.Groups * g.OutputChannels);
            long firstChannel = (n * g.Groups * g.InputChannels) + (o / g.OutputChannels * g.InputChannels);
            float sum = 0f;
            if (hasBias != 0) sum = bias[o];
            for (int tap = 0; tap < g.TapCount; tap++)
            {
                int c = tap / g.KernelPlane, u = tap / g.KernelWidth % g.KernelHeight, v = tap % g.KernelWidth;
                int h = (y * g.StrideHeight) + u - g.PaddingHeight, w = (x * g.StrideWidth) + v - g.PaddingWidth;
                if (h < 0 || h >= g.InputHeight || w < 0 || w >= g.InputWidth) continue;
                sum += weight[((long)o * g.TapCount) + tap] * input[((((firstChannel + c) * g.InputHeight) + h) * g.InputWidth) + w];
            }
            output[i] = activation.Apply(sum);
        }
    }

    private static void BackwardInputKernel(ArrayView<float> dInput, ArrayView<float> dOutput, ArrayView<float> weight, ConvolutionGeometry g)
    {
        for (long i = Grid.GlobalLinearIndex; i < dInput.Length; i += (long)Grid.DimX * Group.DimX)
        {
            int w = (int)(i % g.InputWidth), h = (int)(i / g.InputWidth % g.InputHeight);
            long plane = i / g.InputPlane;
            int c = (int)(plane % (g.Groups * g.InputChannels));
            long n = plane / (g.Groups * g.InputChannels);
            int firstOutput = c / g.InputChannels * g.OutputChannels;
            float sum = 0f;
            for (int o = firstOutput; o < firstOutput + g.OutputChannels; o++)
            {
                long filter = (((long)o * g.InputChannels) + (c % g.InputChannels)) * g.KernelPlane;
                long gradients = ((n * g.Groups * g.OutputChannels) + o) * g.OutputPlane;
                for (int place = 0; place < g.KernelPlane; place++)
                {
                    int top = h + g.PaddingHeight - (place / g.KernelWidth), left = w + g.PaddingWidth - (place % g.KernelWidth);
                    int y = top / g.StrideHeight, x = left / g.StrideWidth;
                    if (top < 0 || left < 0 || top % g.StrideHeight != 0 || left % g.StrideWidth != 0) continue;
                    if (y >= g.OutputHeight || x >= g.OutputWidth) continue;
                    sum += dOutput[gradients + (y * g.OutputWidth) + x] * weight[filter + place];
                }
            }
            dInput[i] = sum;
        }
    }

    private static void BackwardWeightKernel(
        ArrayView<float> dWeight, ArrayView<float> dOutput, ArrayView<float> input, ConvolutionGeometry g, int accumulate)
    {
        for (long i = Grid.GlobalLinearIndex; i < dWeight.Length; i += (long)Grid.DimX * Group.DimX)
        {
            int o = (int)(i / g.TapCount), tap = (int)(i % g.TapCount);
            int c = tap / g.KernelPlane, u = tap / g.KernelWidth % g.KernelHeight, v = tap % g.KernelWidth;
            float sum = 0f;
            for (long n = 0; n < g.BatchCount; n++)
            {
                long cells = ((n * g.Groups * g.InputChannels) + (o / g.OutputChannels * g.InputChannels) + c) * g.InputPlane;
                long gradients = ((n * g.Groups * g.OutputChannels) + o) * g.OutputPlane;
                for (int place = 0; place < g.OutputPlane; place++)
                {
                    int h = (place / g.OutputWidth * g.StrideHeight) + u - g.PaddingHeight;
                    int w = (place % g.OutputWidth * g.StrideWidth) + v - g.PaddingWidth;
                    if (h < 0 || h >= g.InputHeight || w < 0 || w >= g.InputWidth) continue;
                    sum += dOutput[gradients + place] * input[cells + ((long)h * g.InputWidth) + w];
                }
            }
            dWeight[i] = accumulate != 0 ? dWeight[i] + sum : sum;
        }
    }

    /// <summary>A group an output channel; its threads' sums are added pairwise in group memory.</summary>
    private static void BackwardBiasKernel(ArrayView<float> dBias, ArrayView<float> dOutput, ConvolutionGeometry g, int accumulate)
    {
        ArrayView<float> sums = SharedMemory.Allocate<float>(256);
        int o = Grid.IdxX, thread = Group.IdxX;
        float sum = 0f;
        long count = (long)g.BatchCount * g.OutputPlane;
        for (long i = thread; i < count; i += Group.DimX)
            sum += dOutput[(((i / g.OutputPlane * g.Groups * g.OutputChannels) + o) * g.OutputPlane) + (i % g.OutputPlane)];
        sums[thread] = sum;
        Group.Barrier();
        for (int half = Group.DimX / 2; half > 0; half /= 2)
        {
            if (thread < half) sums[thread] += sums[thread + half];
            Group.Barrier();
        }
        if (thread == 0) dBias[o] = accumulate != 0 ? dBias[o] + sums[0] : sums[0];
    }
}
