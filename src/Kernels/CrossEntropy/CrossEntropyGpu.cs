using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>A team of threads a row; the rows' losses go to scratch and are added by one group in a fixed order.</summary>
internal static class CrossEntropyGpu
{
    public static void Labels(GpuDevice gpu, ExecutionStream stream, Tensor loss, Tensor? dLogits, Tensor logits, Tensor labels, in CrossEntropyOptions options)
    {
        long rows = logits.Shape.RowCount;
        if (rows == 0)
        {
            loss.Clear(stream);
            return;
        }
        using Tensor counted = Tensor.Allocate(stream, default, DType.I32);
        using Tensor rowLosses = Tensor.Allocate(stream, new Shape(checked((int)rows)));
        LossGpu.CountRows(gpu, stream, counted, labels, options.IgnoreIndex);
        CrossEntropySizesGpu sizes = new()
        {
            Columns = logits.Shape.ColumnCount,
            IgnoreIndex = options.IgnoreIndex,
            HasGradient = dLogits is null ? 0 : 1,
            Hit = 1f - options.LabelSmoothing,
            Rest = options.LabelSmoothing / logits.Shape.ColumnCount,
            GradientScale = options.GradientScale,
        };
        RowTeams teams = new(gpu, rows, sizes.Columns);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<int>, ArrayView<int>, CrossEntropySizesGpu, int>(LabelKernel))(
            GpuDevice.Native(stream), teams.Grid, GpuDevice.View<float>(rowLosses), GpuDevice.View<float>(dLogits ?? logits), GpuDevice.View<float>(logits),
            GpuDevice.View<int>(labels), GpuDevice.View<int>(counted), sizes, teams.TeamSize);
        LossGpu.Mean(gpu, stream, loss, 0, rowLosses, rows, counted);
    }

    public static void Soft(GpuDevice gpu, ExecutionStream stream, Tensor loss, Tensor? dLogits, Tensor logits, Tensor targets)
    {
        long rows = logits.Shape.RowCount;
        if (rows == 0)
        {
            loss.Clear(stream);
            return;
        }
        using Tensor counted = Tensor.Allocate(stream, default, DType.I32);
        using Tensor rowLosses = Tensor.Allocate(stream, new Shape(checked((int)rows)));
        LossGpu.CountAll(gpu, stream, counted, checked((int)rows));
        RowTeams teams = new(gpu, rows, logits.Shape.ColumnCount);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, int>(SoftKernel))(
            GpuDevice.Native(stream), teams.Grid, GpuDevice.View<float>(rowLosses), GpuDevice.View<float>(dLogits ?? logits), GpuDevice.View<float>(logits),
            GpuDevice.View<float>(targets), logits.Shape.ColumnCount, dLogits is null ? 0 : 1, teams.TeamSize);
        LossGpu.Mean(gpu, stream, loss, 0, rowLosses, rows, counted);
    }

    private static void LabelKernel(ArrayView<float> rowLosses, ArrayView<float> dLogits, ArrayView<float> logits, ArrayView<int> labels, ArrayView<int> counted, CrossEntropySizesGpu sizes, int teamSize)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(RowGroup.MaxGroupSize);
        long row = RowGroup.Row(teamSize), start = row * sizes.Columns;
        int lane = Group.IdxX % teamSize, count = row < rowLosses.Length ? sizes.Columns : 0;
        OnlineSum thread = OnlineSum.Empty;
        for (int j = lane; j < count; j += teamSize) thread = thread.With(logits[start + j], 1f);
        OnlineSum whole = thread.OfTeam(shared, teamSize, 1f);
        int label = count > 0 ? labels[row] : 0;
        bool isClass = label >= 0 && label < count;
        float atLabel = isClass ? logits[start + label] - whole.Max : float.NaN, restSum = 0f;
        // Read before it may be overwritten: dLogits can be the logits.
        Group.Barrier();
        float scale = sizes.GradientScale / counted[0], factor = isClass ? scale / whole.Sum : float.NaN;
        for (int j = lane; j < count; j += teamSize)
        {
            float x = logits[start + j] - whole.Max, target = sizes.Rest + (j == label ? sizes.Hit : 0f);
            if (sizes.Rest > 0f) restSum += x;
            if (sizes.HasGradient != 0) dLogits[start + j] = label == sizes.IgnoreIndex ? 0f : (XMath.Exp(x) * factor) - (target * scale);
        }
        restSum = RowGroup.Sum(shared, restSum, teamSize);
        if (lane != 0 || count == 0) return;
        float loss = XMath.Log(whole.Sum) - (sizes.Hit * atLabel) - (sizes.Rest > 0f ? sizes.Rest * restSum : 0f);
        rowLosses[row] = label == sizes.IgnoreIndex ? 0f : loss;
    }

    private static void SoftKernel(ArrayView<float> rowLosses, ArrayView<float> dLogits, ArrayView<float> logits, ArrayView<float> targets, int columns, int hasGradient, int teamSize)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(RowGroup.MaxGroupSize);
        long row = RowGroup.Row(teamSize), start = row * columns;
        int lane = Group.IdxX % teamSize, count = row < rowLosses.Length ? columns : 0;
        OnlineSum thread = OnlineSum.Empty;
        float targetSum = 0f, dot = 0f, scale = 1f / rowLosses.Length;
        for (int j = lane; j < count; j += teamSize)
        {
            thread = thread.With(logits[start + j], 1f);
            targetSum += targets[start + j];
        }
        OnlineSum whole = thread.OfTeam(shared, teamSize, 1f);
        targetSum = RowGroup.Sum(shared, targetSum, teamSize);
        float factor = targetSum / whole.Sum;
        for (int j = lane; j < count; j += teamSize)
        {
            float x = logits[start + j] - whole.Max, target = targets[start + j];
            if (target != 0f) dot += target * x;
            if (hasGradient != 0) dLogits[start + j] = ((XMath.Exp(x) * factor) - target) * scale;
        }
        dot = RowGroup.Sum(shared, dot, teamSize);
        if (lane == 0 && count > 0) rowLosses[row] = (XMath.Log(whole.Sum) * targetSum) - dot;
    }
}
