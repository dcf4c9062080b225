using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// A team of threads a row. Maximum and sum come from one online pass (Milakov and Gimelshein 2018, arXiv 1805.02867), so a row is read twice
/// and written once.
/// </summary>
internal static class SoftmaxGpu
{
    public static void Forward(GpuDevice gpu, ExecutionStream stream, Tensor output, Tensor input, float temperature, bool isLog)
    {
        RowTeams teams = new(gpu, output.Shape.RowCount, output.Shape.ColumnCount);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, int, int, float, int>(ForwardKernel))(
            GpuDevice.Native(stream), teams.Grid, GpuDevice.View<float>(output), GpuDevice.View<float>(input),
            output.Shape.ColumnCount, teams.TeamSize, 1f / temperature, isLog ? 1 : 0);
    }

    public static void Backward(GpuDevice gpu, ExecutionStream stream, Tensor dInput, Tensor dOutput, Tensor output, float temperature, bool isLog)
    {
        RowTeams teams = new(gpu, output.Shape.RowCount, output.Shape.ColumnCount);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, float, int>(BackwardKernel))(
            GpuDevice.Native(stream), teams.Grid, GpuDevice.View<float>(dInput), GpuDevice.View<float>(dOutput), GpuDevice.View<float>(output),
            output.Shape.ColumnCount, teams.TeamSize, 1f / temperature, isLog ? 1 : 0);
    }

    private static void ForwardKernel(ArrayView<float> output, ArrayView<float> input, int columns, int teamSize, float inverseTemperature, int isLog)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(RowGroup.MaxGroupSize);
        long start = RowGroup.Row(teamSize) * columns;
        int lane = Group.IdxX % teamSize, count = start < input.Length ? columns : 0;
        OnlineSum thread = OnlineSum.Empty;
        for (int j = lane; j < count; j += teamSize) thread = thread.With(input[start + j], inverseTemperature);
        OnlineSum row = thread.OfTeam(shared, teamSize, inverseTemperature);
        float factor = 1f / row.Sum, logSum = XMath.Log(row.Sum);
        for (int j = lane; j < count; j += teamSize)
        {
            float x = (input[start + j] - row.Max) * inverseTemperature;
            output[start + j] = isLog != 0 ? x - logSum : XMath.Exp(x) * factor;
        }
    }

    private static void BackwardKernel(ArrayView<float> dInput, ArrayView<float> dOutput, ArrayView<float> output, int columns, int teamSize, float inverseTemperature, int isLog)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(RowGroup.MaxGroupSize);
        long start = RowGroup.Row(teamSize) * columns;
        int lane = Group.IdxX % teamSize, count = start < output.Length ? columns : 0;
        float sum = 0f;
        for (int j = lane; j < count; j += teamSize) sum += isLog != 0 ? dOutput[start + j] : dOutput[start + j] * output[start + j];
        sum = RowGroup.Sum(shared, sum, teamSize);
        for (int j = lane; j < count; j += teamSize)
        {
            float y = output[start + j], dy = dOutput[start + j];
            dInput[start + j] = (isLog != 0 ? dy - (XMath.Exp(y) * sum) : y * (dy - sum)) * inverseTemperature;
        }
    }
}
