using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// Convolutions on GPUs: tiled products where a group has channels enough to fill tiles, one thread an element where it does not (depthwise).
/// </summary>
internal static class Convolution2dGpu
{
    /// <summary>Channels of a group from which on tiles pay.</summary>
    private const int FewChannels = 8;

    /// <summary>Depth of one slice of a weight gradient, and the most slices: they decide the order of the sum, so they depend on sizes only.</summary>
    private const int SliceDepth = 1024, SliceLimit = 64;

    public static void Forward<TActivation>(
        GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, Tensor weight, Tensor? bias, in ConvolutionGeometry geometry)
        where TActivation : unmanaged, IUnaryOperator
    {
        switch (input.DType)
        {
            case DType.BF16: Forward<TActivation, ushort, BrainElement>(gpu, stream, output, input, weight, bias, geometry); break;
            case DType.F16: Forward<TActivation, ushort, HalfElement>(gpu, stream, output, input, weight, bias, geometry); break;
            default: Forward<TActivation, float, FloatElement>(gpu, stream, output, input, weight, bias, geometry); break;
        }
    }

    public static void BackwardInput(
        GpuDevice gpu, ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor weight, in ConvolutionGeometry geometry)
    {
        switch (weight.DType)
        {
            case DType.BF16: BackwardInput<ushort, BrainElement>(gpu, stream, dInput, dOutput, weight, geometry); break;
            case DType.F16: BackwardInput<ushort, HalfElement>(gpu, stream, dInput, dOutput, weight, geometry); break;
            default: BackwardInput<float, FloatElement>(gpu, stream, dInput, dOutput, weight, geometry); break;
        }
    }

    public static void BackwardWeight(
        GpuDevice gpu, ExecutionStream stream, Tensor dWeight, Tensor? dBias, Tensor dOutput, Tensor input,
        in ConvolutionGeometry geometry, bool accumulate)
    {
        if (dWeight.ElementCount > 0)
        {
            switch (input.DType)
            {
                case DType.BF16: BackwardWeight<ushort, BrainElement>(gpu, stream, dWeight, dOutput, input, geometry, accumulate); break;
                case DType.F16: BackwardWeight<ushort, HalfElement>(gpu, stream, dWeight, dOutput, input, geometry, accumulate); break;
                default: BackwardWeight<float, FloatElement>(gpu, stream, dWeight, dOutput, input, geometry, accumulate); break;
            }
        }
        if (dBias is null || dBias.ElementCount == 0) return;
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ConvolutionGeometry, int>(BackwardBiasKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(dBias.ElementCount),
            GpuDevice.View<float>(dBias), GpuDevice.View<float>(dOutput), geometry, accumulate ? 1 : 0);
    }

    private static void Forward<TActivation, T, TElement>(
        GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, Tensor weight, Tensor? bias, in ConvolutionGeometry geometry)
        where TActivation : unmanaged, IUnaryOperator where T : unmanaged where TElement : unmanaged, IGpuElement<T>
    {
        if (geometry.OutputChannels >= FewChannels && FitsTiles(geometry))
        {
            ConvolutionTilesGpu.Run<ForwardProduct, TActivation, T, TElement, T, TElement>(
                gpu, stream, output, weight, input, bias, geometry, Math.Max(1, geometry.TapCount), sliceCount: 1);
            return;
        }
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<T>, ArrayView<T>, ArrayView<float>, int, ConvolutionGeometry>(ForwardKernel<TActivation, T, TElement>))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount),
            GpuDevice.View<float>(output), GpuDevice.View<T>(input), GpuDevice.View<T>(weight),
            GpuDevice.View<float>(bias ?? output), bias is null ? 0 : 1, geometry);
    }

    private static void BackwardInput<T, TElement>(
        GpuDevice gpu, ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor weight, in ConvolutionGeometry geometry)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>
    {
        if (geometry.InputChannels >= FewChannels && FitsTiles(geometry))
        {
            ConvolutionTilesGpu.Run<BackwardInputProduct, IdentityOperator, T, TElement, float, FloatElement>(
                gpu, stream, dInput, weight, dOutput, null, geometry, Math.Max(1, geometry.OutputChannels * geometry.KernelPlane), sliceCount: 1);
            return;
        }
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<T>, ConvolutionGeometry>(BackwardInputKernel<T, TElement>))(
            GpuDevice.Native(stream), gpu.GridFor(dInput.ElementCount),
            GpuDevice.View<float>(dInput), GpuDevice.View<float>(dOutput), GpuDevice.View<T>(weight), geometry);
    }

    private static void BackwardWeight<T, TElement>(
        GpuDevice gpu, ExecutionStream stream, Tensor dWeight, Tensor dOutput, Tensor input, in ConvolutionGeometry geometry, bool accumulate)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>
    {
        if (geometry.OutputChannels >= FewChannels && FitsTiles(geometry))
        {
            TiledWeight<T, TElement>(gpu, stream, dWeight, dOutput, input, geometry, accumulate);
            return;
        }
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<T>, ConvolutionGeometry, int>(BackwardWeightKernel<T, TElement>))(
            GpuDevice.Native(stream), gpu.RowGrid(dWeight.ElementCount),
            GpuDevice.View<float>(dWeight), GpuDevice.View<float>(dOutput), GpuDevice.View<T>(input), geometry, accumulate ? 1 : 0);
    }

    private static void TiledWeight<T, TElement>(
        GpuDevice gpu, ExecutionStream stream, Tensor dWeight, Tensor dOutput, Tensor input, in ConvolutionGeometry geometry, bool accumulate)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>
    {
        int depth = Math.Max(1, geometry.BatchCount * geometry.OutputPlane);
        int sliceCount = Math.Clamp(depth / SliceDepth, 1, SliceLimit), sliceDepth = (depth + sliceCount - 1) / sliceCount;
        using Tensor slices = Tensor.Allocate(stream, new Shape(sliceCount, checked((int)dWeight.ElementCount)));
        ConvolutionTilesGpu.Run<BackwardWeightProduct, IdentityOperator, float, FloatElement, T, TElement>(gpu, stream, slices, dOutput, input, null, geometry, sliceDepth, sliceCount);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, int>(SliceSumKernel))(
            GpuDevice.Native(stream), gpu.GridFor(dWeight.ElementCount),
            GpuDevice.View<float>(dWeight), GpuDevice.View<float>(slices), accumulate ? 1 : 0);
    }

    /// <summary>Tiles count pixels of the whole batch in 32 bits.</summary>
    private static bool FitsTiles(in ConvolutionGeometry g) =>
        (long)g.BatchCount * Math.Max(g.InputPlane, g.OutputPlane) < int.MaxValue - SliceDepth;

    private static void SliceSumKernel(ArrayView<float> result, ArrayView<float> slices, int accumulate)
    {
        for (long i = Grid.GlobalLinearIndex; i < result.Length; i += (long)Grid.DimX * Group.DimX)
        {
            float sum = 0f;
            for (long slice = i; slice < slices.Length; slice += result.Length) sum += slices[slice];
            result[i] = accumulate != 0 ? result[i] + sum : sum;
        }
    }

    private static void ForwardKernel<TActivation, T, TElement>(
        ArrayView<float> output, ArrayView<T> input, ArrayView<T> weight, ArrayView<float> bias, int hasBias, ConvolutionGeometry g)
        where TActivation : unmanaged, IUnaryOperator where T : unmanaged where TElement : unmanaged, IGpuElement<T>
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
                sum += GpuElements.Read<T, TElement>(weight, ((long)o * g.TapCount) + tap) * GpuElements.Read<T, TElement>(input, ((((firstChannel + c) * g.InputHeight) + h) * g.InputWidth) + w);
            }
            output[i] = activation.Apply(sum);
        }
    }

    private static void BackwardInputKernel<T, TElement>(ArrayView<float> dInput, ArrayView<float> dOutput, ArrayView<T> weight, ConvolutionGeometry g)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>
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
                    sum += dOutput[gradients + (y * g.OutputWidth) + x] * GpuElements.Read<T, TElement>(weight, filter + place);
                }
            }
            dInput[i] = sum;
        }
    }

    /// <summary>A group an element of the weight; its threads' sums are added pairwise in group memory.</summary>
    private static void BackwardWeightKernel<T, TElement>(
        ArrayView<float> dWeight, ArrayView<float> dOutput, ArrayView<T> input, ConvolutionGeometry g, int accumulate)
        where T : unmanaged where TElement : unmanaged, IGpuElement<T>
    {
        ArrayView<float> sums = SharedMemory.Allocate<float>(256);
        BackwardWeightProduct product = default;
        int element = Grid.IdxX, thread = Group.IdxX, o = element / g.TapCount, tap = element % g.TapCount;
        int group = o / g.OutputChannels, depth = product.Depth(g);
        float sum = 0f;
        for (int k = thread; k < depth; k += Group.DimX)
            sum += product.Left<float, FloatElement>(dOutput, g, group, o % g.OutputChannels, k) * product.Right<T, TElement>(input, g, group, k, tap);
        sums[thread] = sum;
        Group.Barrier();
        for (int half = Group.DimX / 2; half > 0; half /= 2)
        {
            if (thread < half) sums[thread] += sums[thread + half];
            Group.Barrier();
        }
        if (thread == 0) dWeight[element] = accumulate != 0 ? dWeight[element] + sums[0] : sums[0];
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
