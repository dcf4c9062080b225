namespace DistTrain.Kernels;

/// <summary>Plain loops in double: the oracle.</summary>
internal static class DistillationReference
{
    public static void Divergence(Tensor loss, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, float temperature)
    {
        int columns = studentLogits.Shape.ColumnCount, rows = checked((int)studentLogits.Shape.RowCount);
        double total = 0;
        for (int row = 0; row < rows; row++)
        {
            Span<float> ds = dStudentLogits is null ? [] : dStudentLogits.AsSpan<float>().Slice(row * columns, columns);
            total += Row(ds, studentLogits.AsSpan<float>().Slice(row * columns, columns), teacherLogits.AsSpan<float>().Slice(row * columns, columns),
                temperature, softWeight: 1.0 / temperature / rows, hardWeight: 0, label: -1, smoothing: 0, out _);
        }
        loss.AsSpan<float>()[0] = rows == 0 ? 0f : (float)(total / rows);
    }

    public static void Loss(Tensor components, Tensor? dStudentLogits, Tensor studentLogits, Tensor teacherLogits, Tensor labels, in DistillationOptions options, int countedRows)
    {
        int columns = studentLogits.Shape.ColumnCount;
        ReadOnlySpan<int> classes = labels.AsSpan<int>();
        double hard = 0, soft = 0;
        for (int row = 0; row < classes.Length; row++)
        {
            Span<float> ds = dStudentLogits is null ? [] : dStudentLogits.AsSpan<float>().Slice(row * columns, columns);
            if (classes[row] == options.IgnoreIndex)
            {
                ds.Clear();
                continue;
            }
            soft += Row(ds, studentLogits.AsSpan<float>().Slice(row * columns, columns), teacherLogits.AsSpan<float>().Slice(row * columns, columns),
                options.Temperature, softWeight: (double)options.Alpha * options.Temperature / countedRows,
                hardWeight: (1.0 - options.Alpha) / countedRows, classes[row], options.LabelSmoothing, out double rowHard);
            hard += rowHard;
        }
        Span<float> result = components.AsSpan<float>();
        if (countedRows > 0) (hard, soft) = (hard / countedRows, soft / countedRows);
        (result[0], result[1], result[2]) = ((float)options.Total(hard, soft), (float)hard, (float)soft);
    }

    /// <summary>
    /// Gives the row's KL and, where <paramref name="label"/> ≥ 0, its cross-entropy. Where <paramref name="ds"/> is not empty it is set to
    /// hardWeight · (softmax(s) - target) + softWeight · (softmax(s / T) - softmax(t / T)).
    /// </summary>
    private static double Row(Span<float> ds, ReadOnlySpan<float> s, ReadOnlySpan<float> t, double temperature, double softWeight, double hardWeight, int label, double smoothing, out double hard)
    {
        (double maxS, double sumS) = SoftmaxReference.LogSumExp(s, temperature);
        (double maxT, double sumT) = SoftmaxReference.LogSumExp(t, temperature);
        (_, double sumHard) = SoftmaxReference.LogSumExp(s, 1);
        double soft = Math.Log(sumS) - Math.Log(sumT), rest = smoothing / s.Length;
        hard = label < 0 ? 0 : Math.Log(sumHard) - ((1 - smoothing) * (s[label] - maxS));
        for (int j = 0; j < s.Length; j++)
        {
            double teacher = Math.Exp((t[j] - maxT) / temperature) / sumT;
            if (teacher != 0) soft += teacher * (t[j] - maxT - (s[j] - maxS)) / temperature;
            if (rest > 0) hard -= rest * (s[j] - maxS);
            if (ds.IsEmpty) continue;
            double target = rest + (j == label ? 1 - smoothing : 0);
            // A part of weight 0 adds nothing, not even NaN.
            double gradient = softWeight > 0 ? softWeight * ((Math.Exp((s[j] - maxS) / temperature) / sumS) - teacher) : 0;
            if (hardWeight > 0) gradient += hardWeight * ((Math.Exp(s[j] - maxS) / sumHard) - target);
            ds[j] = (float)gradient;
        }
        return soft;
    }
}
