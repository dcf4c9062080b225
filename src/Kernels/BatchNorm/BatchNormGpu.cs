using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>Statistics: one group a channel, threads stride over its elements. Inference: one thread an element.</summary>
internal static class BatchNormGpu
{
    public static void Forward(GpuDevice gpu, ExecutionStream stream, ChannelLayout layout, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor scale, Tensor shift, float epsilon)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, int, int, float>(ForwardKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(layout.Channels),
            GpuDevice.View<float>(output), GpuDevice.View<float>(mean), GpuDevice.View<float>(inverseStd), GpuDevice.View<float>(input),
            GpuDevice.View<float>(scale), GpuDevice.View<float>(shift), layout.Images, layout.Positions, epsilon);
    }

    public static void ForwardInference(GpuDevice gpu, ExecutionStream stream, ChannelLayout layout, Tensor output, Tensor input, Tensor runningMean, Tensor runningVariance, Tensor scale, Tensor shift, float epsilon)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, int, float>(InferenceKernel))(
            GpuDevice.Native(stream), gpu.GridFor(input.ElementCount),
            GpuDevice.View<float>(output), GpuDevice.View<float>(input), GpuDevice.View<float>(runningMean), GpuDevice.View<float>(runningVariance),
            GpuDevice.View<float>(scale), GpuDevice.View<float>(shift), layout.Positions, epsilon);
    }

    public static void UpdateRunning(GpuDevice gpu, ExecutionStream stream, Tensor runningMean, Tensor runningVariance, Tensor mean, Tensor inverseStd, float unbias, float momentum, float epsilon)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            float, float, float>(UpdateKernel))(
            GpuDevice.Native(stream), gpu.GridFor(mean.ElementCount),
            GpuDevice.View<float>(runningMean), GpuDevice.View<float>(runningVariance), GpuDevice.View<float>(mean), GpuDevice.View<float>(inverseStd),
            unbias, momentum, epsilon);
    }

    public static void Backward(GpuDevice gpu, ExecutionStream stream, ChannelLayout layout, Tensor dInput, Tensor dScale, Tensor dShift, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor scale, bool accumulate)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, int>(BackwardKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(layout.Channels),
            GpuDevice.View<float>(dInput), GpuDevice.View<float>(dScale), GpuDevice.View<float>(dShift), GpuDevice.View<float>(dOutput),
            GpuDevice.View<float>(input), GpuDevice.View<float>(mean), GpuDevice.View<float>(inverseStd), GpuDevice.View<float>(scale),
            layout.Images, layout.Positions, accumulate ? 1 : 0);
    }

    /// <summary>Where the i-th element of this group's channel lies.</summary>
    internal static long Place(long i, int positions) =>
        ((((i / positions) * Grid.DimX) + Grid.IdxX) * positions) + (i % positions);

    private static void ForwardKernel(
        ArrayView<float> output, ArrayView<float> mean, ArrayView<float> inverseStd, ArrayView<float> input,
        ArrayView<float> scale, ArrayView<float> shift, int images, int positions, float epsilon)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(GroupSum.MaxGroupSize);
        long count = (long)images * positions;
        float divisor = XMath.Max(1L, count), sum = 0, deviations = 0, squares = 0;
        for (long i = Group.IdxX; i < count; i += Group.DimX) sum += input[Place(i, positions)];
        float center = GroupSum.All(shared, sum) / divisor;
        for (long i = Group.IdxX; i < count; i += Group.DimX)
        {
            float deviation = input[Place(i, positions)] - center;
            deviations += deviation;
            squares += deviation * deviation;
        }
        // The second pass also corrects the first one's mean. The absolute value keeps NaN, a comparison might not.
        float rest = GroupSum.All(shared, deviations) / divisor;
        float variance = XMath.Abs((GroupSum.All(shared, squares) / divisor) - (rest * rest));
        float inverse = 1 / XMath.Sqrt(variance + epsilon);
        float factor = inverse * scale[Grid.IdxX], addend = shift[Grid.IdxX];
        for (long i = Group.IdxX; i < count; i += Group.DimX)
        {
            long place = Place(i, positions);
            output[place] = ((input[place] - center - rest) * factor) + addend;
        }
        if (Group.IdxX != 0) return;
        mean[Grid.IdxX] = center + rest;
        inverseStd[Grid.IdxX] = inverse;
    }

    private static void InferenceKernel(
        ArrayView<float> output, ArrayView<float> input, ArrayView<float> mean, ArrayView<float> variance,
        ArrayView<float> scale, ArrayView<float> shift, int positions, float epsilon)
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
        {
            long c = (i / positions) % mean.Length;
            output[i] = ((input[i] - mean[c]) / XMath.Sqrt(variance[c] + epsilon) * scale[c]) + shift[c];
        }
    }

    private static void UpdateKernel(
        ArrayView<float> runningMean, ArrayView<float> runningVariance, ArrayView<float> mean, ArrayView<float> inverseStd,
        float unbias, float momentum, float epsilon)
    {
        for (long c = Grid.GlobalLinearIndex; c < mean.Length; c += (long)Grid.DimX * Group.DimX)
        {
            float inverse = inverseStd[c];
            float variance = XMath.Abs((1 / (inverse * inverse)) - epsilon);
            runningMean[c] = ((1 - momentum) * runningMean[c]) + (momentum * mean[c]);
            runningVariance[c] = ((1 - momentum) * runningVariance[c]) + (momentum * variance * unbias);
        }
    }

    private static void BackwardKernel(
        ArrayView<float> dInput, ArrayView<float> dScale, ArrayView<float> dShift, ArrayView<float> dOutput,
        ArrayView<float> input, ArrayView<float> mean, ArrayView<float> inverseStd, ArrayView<float> scale, int images, int positions, int accumulate)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(GroupSum.MaxGroupSize);
        long count = (long)images * positions;
        float center = mean[Grid.IdxX], inverse = inverseStd[Grid.IdxX], sum = 0, product = 0;
        for (long i = Group.IdxX; i < count; i += Group.DimX)
        {
            long place = Place(i, positions);
            sum += dOutput[place];
            product += dOutput[place] * (input[place] - center) * inverse;
        }
        sum = GroupSum.All(shared, sum);
        product = GroupSum.All(shared, product);
        float factor = scale[Grid.IdxX] * inverse, meanGradient = sum / count, meanProduct = product / count;
        for (long i = Group.IdxX; i < count; i += Group.DimX)
        {
            long place = Place(i, positions);
            dInput[place] = factor * (dOutput[place] - meanGradient - ((input[place] - center) * inverse * meanProduct));
        }
        if (Group.IdxX != 0) return;
        dScale[Grid.IdxX] = accumulate != 0 ? dScale[Grid.IdxX] + product : product;
        dShift[Grid.IdxX] = accumulate != 0 ? dShift[Grid.IdxX] + sum : sum;
    }
}
