namespace DistTrain.Kernels;

/// <summary>Sets the row kernel up: scratch, weights, and the cheapest source of the hard part's exponentials.</summary>
internal static unsafe class DistillationSimd
{
    public static void Loss(CpuDevice cpu, ExecutionStream stream, Tensor components, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, Tensor labels, in DistillationOptions options, int countedRows)
    {
        DistillationRow row = new()
        {
            InverseTemperature = 1f / options.Temperature,
            HardWeight = countedRows == 0 ? 0f : (1f - options.Alpha) / countedRows,
            SoftWeight = countedRows == 0 ? 0f : options.Alpha * options.Temperature / countedRows,
            Hit = 1f - options.LabelSmoothing,
            Rest = options.LabelSmoothing / studentLogits.Shape.ColumnCount,
        };
        (double hard, double soft) = options.Temperature switch
        {
            1f => Run<SoftToThe1>(cpu, stream, dStudentLogits, studentLogits, teacherLogits, labels, options.IgnoreIndex, row),
            2f => Run<SoftToThe2>(cpu, stream, dStudentLogits, studentLogits, teacherLogits, labels, options.IgnoreIndex, row),
            4f => Run<SoftToThe4>(cpu, stream, dStudentLogits, studentLogits, teacherLogits, labels, options.IgnoreIndex, row),
            8f => Run<SoftToThe8>(cpu, stream, dStudentLogits, studentLogits, teacherLogits, labels, options.IgnoreIndex, row),
            _ => Run<OwnExponentials>(cpu, stream, dStudentLogits, studentLogits, teacherLogits, labels, options.IgnoreIndex, row),
        };
        if (countedRows > 0) (hard, soft) = (hard / countedRows, soft / countedRows);
        Span<float> result = components.AsSpan<float>();
        (result[0], result[1], result[2]) = ((float)options.Total(hard, soft), (float)hard, (float)soft);
    }

    public static void Divergence(CpuDevice cpu, ExecutionStream stream, Tensor loss, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, float temperature)
    {
        long rows = studentLogits.Shape.RowCount;
        DistillationRow row = new() { InverseTemperature = 1f / temperature, SoftWeight = 1f / temperature / Math.Max(1, rows) };
        (_, double soft) = Run<NoHardPart>(cpu, stream, dStudentLogits, studentLogits, teacherLogits, null, 0, row);
        loss.AsSpan<float>()[0] = rows == 0 ? 0f : (float)(soft / rows);
    }

    private static (double Hard, double Soft) Run<THard>(
        CpuDevice cpu, ExecutionStream stream, Tensor? dStudent, Tensor student, Tensor teacher, Tensor? labels, int ignoreIndex, DistillationRow row)
        where THard : unmanaged, IHardExponentials
    {
        int columns = student.Shape.ColumnCount, items = SoftmaxRowSimd.ItemCount(student.Shape.RowCount, columns);
        int places = Math.Min(cpu.Team.ThreadCount, Math.Max(1, items)), scratchRows = THard.AreKept ? 3 : 2;
        using Tensor partials = OrderedSum.Scratch(stream, 2, items), scratch = RowScratch.Allocate(stream, places, scratchRows, columns);
        row.Columns = columns;
        DistillationKernel<THard> kernel = new()
        {
            Row = row,
            DStudent = dStudent is null ? null : (float*)dStudent.Pointer,
            Student = (float*)student.Pointer,
            Teacher = (float*)teacher.Pointer,
            Labels = labels is null ? null : (int*)labels.Pointer,
            Hard = new OrderedSum(partials, 0, items),
            Soft = new OrderedSum(partials, 1, items),
            Scratch = new RowScratch(scratch, places, scratchRows, columns),
            RowCount = student.Shape.RowCount,
            IgnoreIndex = ignoreIndex,
        };
        cpu.Run(kernel, items);
        return (kernel.Hard.Total(), kernel.Soft.Total());
    }
}
