using ILGPU;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>One thread a cell of the result; gradients are gathered over the windows that hold the cell, so no two threads write one cell.</summary>
internal static class Pooling2dGpu
{
    public static void MaxForward(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor indices, Tensor input, in PoolingGeometry geometry) =>
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<int>, ArrayView<float>, PoolingGeometry>(MaxForwardKernel))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount),
            GpuDevice.View<float>(output), GpuDevice.View<int>(indices), GpuDevice.View<float>(input), geometry);

    public static void MaxBackward(
        GpuDevice gpu, ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor indices, in PoolingGeometry geometry) =>
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<int>, PoolingGeometry>(MaxBackwardKernel))(
            GpuDevice.Native(stream), gpu.GridFor(dInput.ElementCount),
            GpuDevice.View<float>(dInput), GpuDevice.View<float>(dOutput), GpuDevice.View<int>(indices), geometry);

    public static void AverageForward(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, in PoolingGeometry geometry) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, PoolingGeometry>(AverageForwardKernel))(
            GpuDevice.Native(stream), gpu.GridFor(output.ElementCount), GpuDevice.View<float>(output), GpuDevice.View<float>(input), geometry);

    public static void AverageBackward(GpuDevice gpu, ExecutionStream stream, Tensor dInput, Tensor dOutput, in PoolingGeometry geometry) =>
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, PoolingGeometry>(AverageBackwardKernel))(
            GpuDevice.Native(stream), gpu.GridFor(dInput.ElementCount), GpuDevice.View<float>(dInput), GpuDevice.View<float>(dOutput), geometry);

    private static void MaxForwardKernel(ArrayView<float> output, ArrayView<int> indices, ArrayView<float> input, PoolingGeometry g)
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
        {
            int x = (int)(i % g.OutputWidth), y = (int)(i / g.OutputWidth % g.OutputHeight);
            long plane = i / g.OutputPlane * g.InputPlane;
            int endRow = g.EndRow(y), firstColumn = g.FirstColumn(x), endColumn = g.EndColumn(x);
            int place = (g.FirstRow(y) * g.InputWidth) + firstColumn;
            float best = input[plane + place];
            for (int h = g.FirstRow(y); h < endRow; h++)
            {
                for (int w = firstColumn; w < endColumn; w++)
                {
                    float cell = input[plane + (h * g.InputWidth) + w];
                    if (!(cell > best) && (!float.IsNaN(cell) || float.IsNaN(best))) continue;
                    best = cell;
                    place = (h * g.InputWidth) + w;
                }
            }
            output[i] = best;
            indices[i] = place;
        }
    }

    private static void MaxBackwardKernel(ArrayView<float> dInput, ArrayView<float> dOutput, ArrayView<int> indices, PoolingGeometry g)
    {
        for (long i = Grid.GlobalLinearIndex; i < dInput.Length; i += (long)Grid.DimX * Group.DimX)
        {
            int cell = (int)(i % g.InputPlane), w = cell % g.InputWidth, h = cell / g.InputWidth;
            long plane = i / g.InputPlane * g.OutputPlane;
            int firstX = FirstWindow(w + g.PaddingWidth, g.KernelWidth, g.StrideWidth);
            int lastX = Math.Min(g.OutputWidth - 1, (w + g.PaddingWidth) / g.StrideWidth);
            int lastY = Math.Min(g.OutputHeight - 1, (h + g.PaddingHeight) / g.StrideHeight);
            float sum = 0f;
            for (int y = FirstWindow(h + g.PaddingHeight, g.KernelHeight, g.StrideHeight); y <= lastY; y++)
            {
                for (int x = firstX; x <= lastX; x++)
                {
                    long window = plane + (y * g.OutputWidth) + x;
                    if (indices[window] == cell) sum += dOutput[window];
                }
            }
            dInput[i] = sum;
        }
    }

    private static void AverageForwardKernel(ArrayView<float> output, ArrayView<float> input, PoolingGeometry g)
    {
        for (long i = Grid.GlobalLinearIndex; i < output.Length; i += (long)Grid.DimX * Group.DimX)
        {
            int x = (int)(i % g.OutputWidth), y = (int)(i / g.OutputWidth % g.OutputHeight);
            long plane = i / g.OutputPlane * g.InputPlane;
            int firstRow = g.FirstRow(y), endRow = g.EndRow(y), firstColumn = g.FirstColumn(x), endColumn = g.EndColumn(x);
            float sum = 0f;
            for (int h = firstRow; h < endRow; h++)
            {
                for (int w = firstColumn; w < endColumn; w++) sum += input[plane + (h * g.InputWidth) + w];
            }
            output[i] = sum / ((endRow - firstRow) * (endColumn - firstColumn));
        }
    }

    private static void AverageBackwardKernel(ArrayView<float> dInput, ArrayView<float> dOutput, PoolingGeometry g)
    {
        for (long i = Grid.GlobalLinearIndex; i < dInput.Length; i += (long)Grid.DimX * Group.DimX)
        {
            int w = (int)(i % g.InputWidth), h = (int)(i / g.InputWidth % g.InputHeight);
            long plane = i / g.InputPlane * g.OutputPlane;
            int firstX = FirstWindow(w + g.PaddingWidth, g.KernelWidth, g.StrideWidth);
            int lastX = Math.Min(g.OutputWidth - 1, (w + g.PaddingWidth) / g.StrideWidth);
            int lastY = Math.Min(g.OutputHeight - 1, (h + g.PaddingHeight) / g.StrideHeight);
            float sum = 0f;
            for (int y = FirstWindow(h + g.PaddingHeight, g.KernelHeight, g.StrideHeight); y <= lastY; y++)
            {
                int rows = g.EndRow(y) - g.FirstRow(y);
                for (int x = firstX; x <= lastX; x++)
                    sum += dOutput[plane + (y * g.OutputWidth) + x] / (rows * (g.EndColumn(x) - g.FirstColumn(x)));
            }
            dInput[i] = sum;
        }
    }

    /// <summary>The first window along one dimension that holds the padded position; windows start at multiples of the stride.</summary>
    private static int FirstWindow(int position, int kernel, int stride) => position < kernel ? 0 : ((position - kernel) / stride) + 1;
}
