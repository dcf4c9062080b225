using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace DistTrain.Kernels;

/// <summary>
/// A team of threads a row: one online pass over student and teacher, one pass for divergence and gradient. The rows' losses go to scratch
/// (hard, then soft) and are added by one group in a fixed order.
/// </summary>
internal static class DistillationGpu
{
    public static void Loss(GpuDevice gpu, ExecutionStream stream, Tensor components, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, Tensor labels, in DistillationOptions options)
    {
        if (studentLogits.Shape.RowCount == 0)
        {
            components.Clear(stream);
            return;
        }
        int rows = checked((int)studentLogits.Shape.RowCount);
        using Tensor counted = Tensor.Allocate(stream, default, DType.I32);
        using Tensor rowLosses = Tensor.Allocate(stream, new Shape(2, rows)), means = Tensor.Allocate(stream, new Shape(2));
        LossGpu.CountRows(gpu, stream, counted, labels, options.IgnoreIndex);
        DistillationSizesGpu sizes = new()
        {
            Columns = studentLogits.Shape.ColumnCount,
            HasLabels = 1,
            IgnoreIndex = options.IgnoreIndex,
            HasGradient = dStudentLogits is null ? 0 : 1,
            InverseTemperature = 1f / options.Temperature,
            HardWeight = 1f - options.Alpha,
            SoftWeight = options.Alpha * options.Temperature,
            Hit = 1f - options.LabelSmoothing,
            Rest = options.LabelSmoothing / studentLogits.Shape.ColumnCount,
        };
        RunRows(gpu, stream, rowLosses, dStudentLogits, studentLogits, teacherLogits, labels, counted, sizes);
        LossGpu.Mean(gpu, stream, means, 0, rowLosses, rows, counted);
        LossGpu.Mean(gpu, stream, means, 1, rowLosses, rows, counted);
        gpu.Kernel(static accelerator => accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, float, float>(TotalKernel))(
            GpuDevice.Native(stream), gpu.RowGrid(1), GpuDevice.View<float>(components), GpuDevice.View<float>(means),
            1f - options.Alpha, options.Alpha * options.Temperature * options.Temperature);
    }

    public static void Divergence(GpuDevice gpu, ExecutionStream stream, Tensor loss, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, float temperature)
    {
        if (studentLogits.Shape.RowCount == 0)
        {
            loss.Clear(stream);
            return;
        }
        int rows = checked((int)studentLogits.Shape.RowCount);
        using Tensor counted = Tensor.Allocate(stream, default, DType.I32);
        using Tensor rowLosses = Tensor.Allocate(stream, new Shape(2, rows)), means = Tensor.Allocate(stream, new Shape(2));
        LossGpu.CountAll(gpu, stream, counted, rows);
        DistillationSizesGpu sizes = new()
        {
            Columns = studentLogits.Shape.ColumnCount,
            HasGradient = dStudentLogits is null ? 0 : 1,
            InverseTemperature = 1f / temperature,
            SoftWeight = 1f / temperature,
        };
        RunRows(gpu, stream, rowLosses, dStudentLogits, studentLogits, teacherLogits, counted, counted, sizes);
        LossGpu.Mean(gpu, stream, means, 1, rowLosses, rows, counted);
        using Tensor soft = means.Slice(1, 1), scalar = soft.Reshape(default);
        scalar.CopyTo(stream, loss);
    }

    private static void RunRows(GpuDevice gpu, ExecutionStream stream, Tensor rowLosses, Tensor? dStudent, Tensor student, Tensor teacher, Tensor labels, Tensor counted, DistillationSizesGpu sizes)
    {
        RowTeams teams = new(gpu, student.Shape.RowCount, sizes.Columns);
        gpu.Kernel(static accelerator =>
            accelerator.LoadKernel<ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<int>, ArrayView<int>, DistillationSizesGpu, int>(RowKernel))(
            GpuDevice.Native(stream), teams.Grid, GpuDevice.View<float>(rowLosses), GpuDevice.View<float>(dStudent ?? student), GpuDevice.View<float>(student),
            GpuDevice.View<float>(teacher), GpuDevice.View<int>(labels), GpuDevice.View<int>(counted), sizes, teams.TeamSize);
    }

    private static void RowKernel(
        ArrayView<float> rowLosses, ArrayView<float> dStudent, ArrayView<float> student, ArrayView<float> teacher, ArrayView<int> labels, ArrayView<int> counted, DistillationSizesGpu sizes, int teamSize)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(RowGroup.MaxGroupSize);
        long rows = rowLosses.Length / 2, row = RowGroup.Row(teamSize), start = row * sizes.Columns;
        int lane = Group.IdxX % teamSize, count = row < rows ? sizes.Columns : 0;
        float inverse = sizes.InverseTemperature;
        OnlineSum hard = OnlineSum.Empty, soft = OnlineSum.Empty, taught = OnlineSum.Empty;
        for (int j = lane; j < count; j += teamSize)
        {
            if (sizes.HasLabels != 0) hard = hard.With(student[start + j], 1f);
            soft = soft.With(student[start + j], inverse);
            taught = taught.With(teacher[start + j], inverse);
        }
        soft = soft.OfTeam(shared, teamSize, inverse);
        taught = taught.OfTeam(shared, teamSize, inverse);
        hard = sizes.HasLabels != 0 ? hard.OfTeam(shared, teamSize, 1f) : soft;

        int label = sizes.HasLabels != 0 && count > 0 ? labels[row] : 0;
        bool isIgnored = sizes.HasLabels != 0 && label == sizes.IgnoreIndex, isClass = label >= 0 && label < count;
        float atLabel = isClass ? student[start + label] - soft.Max : float.NaN, restSum = 0f, divergence = 0f;
        // Read before it may be overwritten: dStudent can be the student.
        Group.Barrier();
        float hardWeight = sizes.HasLabels != 0 ? sizes.HardWeight / counted[0] : 0f, softWeight = sizes.SoftWeight / counted[0];
        float hardFactor = isClass ? hardWeight / hard.Sum : float.NaN;
        for (int j = lane; j < count; j += teamSize)
        {
            float s = student[start + j] - soft.Max, t = teacher[start + j] - taught.Max;
            float taughtShare = XMath.Exp(t * inverse) / taught.Sum;
            if (taughtShare != 0f) divergence += taughtShare * ((t * inverse) - (s * inverse));
            if (sizes.Rest > 0f) restSum += s;
            if (sizes.HasGradient == 0) continue;
            // A part of weight 0 adds nothing, not even NaN.
            float gradient = softWeight > 0f ? softWeight * ((XMath.Exp(s * inverse) / soft.Sum) - taughtShare) : 0f;
            if (hardWeight > 0f) gradient += (XMath.Exp(s) * hardFactor) - (hardWeight * (sizes.Rest + (j == label ? sizes.Hit : 0f)));
            dStudent[start + j] = isIgnored ? 0f : gradient;
        }
        divergence = RowGroup.Sum(shared, divergence, teamSize);
        restSum = RowGroup.Sum(shared, restSum, teamSize);
        if (lane != 0 || count == 0) return;
        float hardLoss = XMath.Log(hard.Sum) - (sizes.Hit * atLabel) - (sizes.Rest > 0f ? sizes.Rest * restSum : 0f);
        rowLosses[row] = isIgnored ? 0f : hardLoss;
        rowLosses[rows + row] = isIgnored ? 0f : divergence + XMath.Log(soft.Sum / taught.Sum);
    }

    private static void TotalKernel(ArrayView<float> components, ArrayView<float> means, float hardWeight, float softWeight)
    {
        if (Group.IdxX != 0) return;
        components[0] = (hardWeight > 0f ? hardWeight * means[0] : 0f) + (softWeight > 0f ? softWeight * means[1] : 0f);
        components[1] = means[0];
        components[2] = means[1];
    }
}
