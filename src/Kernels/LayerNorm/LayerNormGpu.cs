using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One group a row; column sums in two stages over fixed blocks of rows.</summary>
internal static class LayerNormGpu
{
    public static void Forward(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor? scale, Tensor? shift, float epsilon)
    {
        // An absent scale or shift is an empty view; kernels need some memory behind it.
        ArrayView<float> none = GpuDevice.View<float>(mean).SubView(0, 0);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, int, float>(ForwardKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(mean.ElementCount),
            GpuDevice.View<float>(output), GpuDevice.View<float>(mean), GpuDevice.View<float>(inverseStd), GpuDevice.View<float>(input),
            scale is null ? none : GpuDevice.View<float>(scale), shift is null ? none : GpuDevice.View<float>(shift), input.Shape.ColumnCount, epsilon);
    }

    public static void BackwardInput(GpuDevice gpu, ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor? scale)
    {
        ArrayView<float> none = GpuDevice.View<float>(mean).SubView(0, 0);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, int>(BackwardInputKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(mean.ElementCount),
            GpuDevice.View<float>(dInput), GpuDevice.View<float>(dOutput), GpuDevice.View<float>(input), GpuDevice.View<float>(mean),
            GpuDevice.View<float>(inverseStd), scale is null ? none : GpuDevice.View<float>(scale), input.Shape.ColumnCount);
    }

    public static void BackwardWeight(GpuDevice gpu, ExecutionStream stream, Tensor dScale, Tensor dShift, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, bool accumulate)
    {
        int rows = (int)mean.ElementCount, columns = input.Shape.ColumnCount;
        if (rows == 0)
        {
            if (accumulate) return;
            dScale.Clear(stream);
            dShift.Clear(stream);
            return;
        }
        (int rowsPerBlock, int blockCount) = LayerNorm.RowBlocks(rows);
        int columnGroups = (columns + gpu.GroupSize - 1) / gpu.GroupSize;
        using Tensor partials = Tensor.Allocate(stream, new Shape(blockCount, 2, columns));
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, int, int>(ColumnSumKernel))(
            GpuDevice.Native(stream), new KernelConfig(columnGroups * blockCount, gpu.GroupSize),
            GpuDevice.View<float>(partials), GpuDevice.View<float>(dOutput), GpuDevice.View<float>(input), GpuDevice.View<float>(mean),
            GpuDevice.View<float>(inverseStd), columns, rowsPerBlock);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, int>(MergeKernel))(
            GpuDevice.Native(stream), gpu.GridFor(columns),
            GpuDevice.View<float>(dScale), GpuDevice.View<float>(dShift), GpuDevice.View<float>(partials), accumulate ? 1 : 0);
    }

    private static void ForwardKernel(
        ArrayView<float> output, ArrayView<float> mean, ArrayView<float> inverseStd, ArrayView<float> input,
        ArrayView<float> scale, ArrayView<float> shift, int columns, float epsilon)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(GroupSum.MaxGroupSize);
        long start = (long)Grid.IdxX * columns;
        float sum = 0, deviations = 0, squares = 0;
        for (int c = Group.IdxX; c < columns; c += Group.DimX) sum += input[start + c];
        float center = GroupSum.All(shared, sum) / columns;
        for (int c = Group.IdxX; c < columns; c += Group.DimX)
        {
            float deviation = input[start + c] - center;
            deviations += deviation;
            squares += deviation * deviation;
        }
        // The second pass also corrects the first one's mean.
        float rest = GroupSum.All(shared, deviations) / columns;
        // Rounding can take it a hair below 0; the absolute value, unlike a comparison, keeps NaN on every device.
        float variance = XMath.Abs((GroupSum.All(shared, squares) / columns) - (rest * rest));
        float inverse = 1 / XMath.Sqrt(variance + epsilon);
        for (int c = Group.IdxX; c < columns; c += Group.DimX)
        {
            float normalised = (input[start + c] - center - rest) * inverse;
            output[start + c] = (normalised * (scale.Length > 0 ? scale[c] : 1f)) + (shift.Length > 0 ? shift[c] : 0f);
        }
        if (Group.IdxX != 0) return;
        mean[Grid.IdxX] = center + rest;
        inverseStd[Grid.IdxX] = inverse;
    }

    private static void BackwardInputKernel(
        ArrayView<float> dInput, ArrayView<float> dOutput, ArrayView<float> input, ArrayView<float> mean,
        ArrayView<float> inverseStd, ArrayView<float> scale, int columns)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(GroupSum.MaxGroupSize);
        long start = (long)Grid.IdxX * columns;
        float center = mean[Grid.IdxX], inverse = inverseStd[Grid.IdxX], sum = 0, product = 0;
        for (int c = Group.IdxX; c < columns; c += Group.DimX)
        {
            float gradient = dOutput[start + c] * (scale.Length > 0 ? scale[c] : 1f);
            sum += gradient;
            product += gradient * (input[start + c] - center) * inverse;
        }
        float meanGradient = GroupSum.All(shared, sum) / columns, meanProduct = GroupSum.All(shared, product) / columns;
        for (int c = Group.IdxX; c < columns; c += Group.DimX)
        {
            float gradient = dOutput[start + c] * (scale.Length > 0 ? scale[c] : 1f);
            dInput[start + c] = inverse * (gradient - meanGradient - ((input[start + c] - center) * inverse * meanProduct));
        }
    }

    /// <summary>A thread has one column of one block of rows.</summary>
    private static void ColumnSumKernel(
        ArrayView<float> partials, ArrayView<float> dOutput, ArrayView<float> input, ArrayView<float> mean,
        ArrayView<float> inverseStd, int columns, int rowsPerBlock)
    {
        int columnGroups = (columns + Group.DimX - 1) / Group.DimX;
        int block = Grid.IdxX / columnGroups, column = ((Grid.IdxX % columnGroups) * Group.DimX) + Group.IdxX;
        if (column >= columns) return;
        long start = (long)block * rowsPerBlock, end = XMath.Min(start + rowsPerBlock, mean.Length);
        float scaleSum = 0, shiftSum = 0;
        for (long row = start; row < end; row++)
        {
            float gradient = dOutput[(row * columns) + column];
            scaleSum += gradient * (input[(row * columns) + column] - mean[row]) * inverseStd[row];
            shiftSum += gradient;
        }
        partials[((long)block * 2 * columns) + column] = scaleSum;
        partials[(((long)block * 2) + 1) * columns + column] = shiftSum;
    }

    private static void MergeKernel(ArrayView<float> dScale, ArrayView<float> dShift, ArrayView<float> partials, int accumulate)
    {
        long columns = dScale.Length, blockCount = partials.Length / (2 * columns);
        for (long c = Grid.GlobalLinearIndex; c < columns; c += (long)Grid.DimX * Group.DimX)
        {
            float scaleSum = 0, shiftSum = 0;
            for (long block = 0; block < blockCount; block++)
            {
                scaleSum += partials[(block * 2 * columns) + c];
                shiftSum += partials[(((block * 2) + 1) * columns) + c];
            }
            dScale[c] = accumulate != 0 ? dScale[c] + scaleSum : scaleSum;
            dShift[c] = accumulate != 0 ? dShift[c] + shiftSum : shiftSum;
        }
    }
}
