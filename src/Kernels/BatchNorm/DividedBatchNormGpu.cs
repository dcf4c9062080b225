using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>Moments and sums: one group a channel, threads stride over its elements. What is done to elements: one thread each.</summary>
internal static class DividedBatchNormGpu
{
    public static void Moments(GpuDevice gpu, ExecutionStream stream, ChannelLayout layout, Tensor moments, Tensor input)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, int, int>(MomentsKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(layout.Channels), GpuDevice.View<float>(moments), GpuDevice.View<float>(input), layout.Images, layout.Positions);
    }

    public static void Merge(GpuDevice gpu, ExecutionStream stream, Tensor moments, Tensor parts)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, int, int>(MergeKernel))(
            GpuDevice.Native(stream), gpu.GridFor(parts.Shape[2]), GpuDevice.View<float>(moments), GpuDevice.View<float>(parts), parts.Shape[0], parts.Shape[2]);
    }

    public static void Forward(GpuDevice gpu, ExecutionStream stream, ChannelLayout layout, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor moments, Tensor scale, Tensor shift, float epsilon)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, float>(StatisticsKernel))(
            GpuDevice.Native(stream), gpu.GridFor(layout.Channels), GpuDevice.View<float>(mean), GpuDevice.View<float>(inverseStd), GpuDevice.View<float>(moments), epsilon);
        if (input.ElementCount == 0) return;
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int>(ForwardKernel))(
            GpuDevice.Native(stream), gpu.GridFor(input.ElementCount),
            GpuDevice.View<float>(output), GpuDevice.View<float>(input), GpuDevice.View<float>(moments), GpuDevice.View<float>(inverseStd),
            GpuDevice.View<float>(scale), GpuDevice.View<float>(shift), layout.Positions);
    }

    public static void UpdateRunning(GpuDevice gpu, ExecutionStream stream, Tensor runningMean, Tensor runningVariance, Tensor moments, float momentum)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, float>(UpdateKernel))(
            GpuDevice.Native(stream), gpu.GridFor(runningMean.ElementCount),
            GpuDevice.View<float>(runningMean), GpuDevice.View<float>(runningVariance), GpuDevice.View<float>(moments), momentum);
    }

    public static void GradientSums(GpuDevice gpu, ExecutionStream stream, ChannelLayout layout, Tensor sums, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int>(SumsKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(layout.Channels),
            GpuDevice.View<float>(sums), GpuDevice.View<float>(dOutput), GpuDevice.View<float>(input), GpuDevice.View<float>(mean), GpuDevice.View<float>(inverseStd),
            layout.Images, layout.Positions);
    }

    public static void InputGradient(GpuDevice gpu, ExecutionStream stream, ChannelLayout layout, Tensor dInput, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor scale, Tensor sums, Tensor moments)
    {
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int>(InputGradientKernel))(
            GpuDevice.Native(stream), gpu.GridFor(input.ElementCount),
            GpuDevice.View<float>(dInput), GpuDevice.View<float>(dOutput), GpuDevice.View<float>(input), GpuDevice.View<float>(mean),
            GpuDevice.View<float>(inverseStd), GpuDevice.View<float>(scale), GpuDevice.View<float>(sums), GpuDevice.View<float>(moments), layout.Positions);
    }

    private static void MomentsKernel(ArrayView<float> moments, ArrayView<float> input, int images, int positions)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(GroupSum.MaxGroupSize);
        long count = (long)images * positions;
        float divisor = XMath.Max(1L, count), sum = 0, deviations = 0, squares = 0;
        for (long i = Group.IdxX; i < count; i += Group.DimX) sum += input[BatchNormGpu.Place(i, positions)];
        float center = GroupSum.All(shared, sum) / divisor;
        for (long i = Group.IdxX; i < count; i += Group.DimX)
        {
            float deviation = input[BatchNormGpu.Place(i, positions)] - center;
            deviations += deviation;
            squares += deviation * deviation;
        }
        deviations = GroupSum.All(shared, deviations);
        squares = GroupSum.All(shared, squares);
        if (Group.IdxX != 0) return;
        float rest = deviations / divisor;
        moments[Grid.IdxX] = count;
        moments[Grid.DimX + Grid.IdxX] = center;
        moments[(2 * Grid.DimX) + Grid.IdxX] = rest;
        // Rounding can take this a hair below 0; the absolute value keeps NaN, a comparison might not.
        moments[(3 * Grid.DimX) + Grid.IdxX] = XMath.Abs(squares - (deviations * rest));
    }

    private static void MergeKernel(ArrayView<float> moments, ArrayView<float> parts, int partCount, int channels)
    {
        for (long c = Grid.GlobalLinearIndex; c < channels; c += (long)Grid.DimX * Group.DimX)
        {
            float count = 0, center = 0, rest = 0, squares = 0;
            for (int part = 0; part < partCount; part++)
            {
                long at = ((long)part * DividedBatchNorm.MomentCount * channels) + c;
                float added = parts[at], total = count + added;
                if (added == 0) continue;
                // The center is the first part's: the others' distance from it is what the rest carries.
                center = count == 0 ? parts[at + channels] : center;
                rest = count == 0 ? parts[at + (2 * channels)] : rest;
                float difference = parts[at + channels] - center + (parts[at + (2 * channels)] - rest);
                squares += parts[at + (3 * channels)] + (difference * difference * count * (added / total));
                rest += difference * (added / total);
                count = total;
            }
            float mean = center + rest;
            moments[c] = count;
            moments[channels + c] = mean;
            moments[(2 * channels) + c] = center - mean + rest;
            moments[(3 * channels) + c] = squares;
        }
    }

    private static void StatisticsKernel(ArrayView<float> mean, ArrayView<float> inverseStd, ArrayView<float> moments, float epsilon)
    {
        for (long c = Grid.GlobalLinearIndex; c < mean.Length; c += (long)Grid.DimX * Group.DimX)
        {
            mean[c] = moments[mean.Length + c] + moments[(2 * mean.Length) + c];
            inverseStd[c] = 1 / XMath.Sqrt((moments[(3 * mean.Length) + c] / XMath.Max(1f, moments[c])) + epsilon);
        }
    }

    private static void ForwardKernel(
        ArrayView<float> output, ArrayView<float> input, ArrayView<float> moments, ArrayView<float> inverseStd, ArrayView<float> scale, ArrayView<float> shift, int positions)
    {
        long channels = inverseStd.Length;
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
        {
            long c = (i / positions) % channels;
            output[i] = ((input[i] - moments[channels + c] - moments[(2 * channels) + c]) * (inverseStd[c] * scale[c])) + shift[c];
        }
    }

    private static void UpdateKernel(ArrayView<float> runningMean, ArrayView<float> runningVariance, ArrayView<float> moments, float momentum)
    {
        long channels = runningMean.Length;
        for (long c = Grid.GlobalLinearIndex; c < channels; c += (long)Grid.DimX * Group.DimX)
        {
            float count = moments[c], mean = moments[channels + c] + moments[(2 * channels) + c];
            if (count == 0) continue;
            runningMean[c] = ((1 - momentum) * runningMean[c]) + (momentum * mean);
            runningVariance[c] = ((1 - momentum) * runningVariance[c]) + (momentum * moments[(3 * channels) + c] / XMath.Max(1f, count - 1));
        }
    }

    private static void SumsKernel(
        ArrayView<float> sums, ArrayView<float> dOutput, ArrayView<float> input, ArrayView<float> mean, ArrayView<float> inverseStd, int images, int positions)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(GroupSum.MaxGroupSize);
        long count = (long)images * positions;
        float center = mean[Grid.IdxX], inverse = inverseStd[Grid.IdxX], sum = 0, product = 0;
        for (long i = Group.IdxX; i < count; i += Group.DimX)
        {
            long place = BatchNormGpu.Place(i, positions);
            sum += dOutput[place];
            product += dOutput[place] * (input[place] - center) * inverse;
        }
        sum = GroupSum.All(shared, sum);
        product = GroupSum.All(shared, product);
        if (Group.IdxX != 0) return;
        sums[Grid.IdxX] = sum;
        sums[Grid.DimX + Grid.IdxX] = product;
    }

    private static void InputGradientKernel(
        ArrayView<float> dInput, ArrayView<float> dOutput, ArrayView<float> input, ArrayView<float> mean, ArrayView<float> inverseStd,
        ArrayView<float> scale, ArrayView<float> sums, ArrayView<float> moments, int positions)
    {
        long channels = mean.Length;
        for (long i = Grid.GlobalLinearIndex; i < dInput.Length; i += (long)Grid.DimX * Group.DimX)
        {
            long c = (i / positions) % channels;
            float inverse = inverseStd[c], meanGradient = sums[c] / moments[c], meanProduct = sums[channels + c] / moments[c];
            dInput[i] = scale[c] * inverse * (dOutput[i] - meanGradient - ((input[i] - mean[c]) * inverse * meanProduct));
        }
    }
}
