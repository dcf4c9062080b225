namespace DistTrain.Kernels;

/// <summary>Plain loops in double: the oracle.</summary>
internal static class CrossEntropyReference
{
    public static void Labels(Tensor loss, Tensor? dLogits, Tensor logits, Tensor labels, in CrossEntropyOptions options, int countedRows)
    {
        ReadOnlySpan<int> classes = labels.AsSpan<int>();
        int columns = logits.Shape.ColumnCount;
        double total = 0, rest = (double)options.LabelSmoothing / columns, hit = 1.0 - options.LabelSmoothing;
        for (int row = 0; row < classes.Length; row++)
        {
            Span<float> x = logits.AsSpan<float>().Slice(row * columns, columns);
            Span<float> dx = dLogits is null ? [] : dLogits.AsSpan<float>().Slice(row * columns, columns);
            if (classes[row] == options.IgnoreIndex)
            {
                dx.Clear();
                continue;
            }
            (double max, double sum) = SoftmaxReference.LogSumExp(x, 1);
            total += Math.Log(sum) - (hit * (x[classes[row]] - max));
            for (int j = 0; j < columns; j++)
            {
                if (rest > 0) total -= rest * (x[j] - max);
                double target = rest + (j == classes[row] ? hit : 0);
                if (dLogits is not null) dx[j] = (float)(options.GradientScale * ((Math.Exp(x[j] - max) / sum) - target) / countedRows);
            }
        }
        loss.AsSpan<float>()[0] = countedRows == 0 ? 0f : (float)(total / countedRows);
    }

    public static void Soft(Tensor loss, Tensor? dLogits, Tensor logits, Tensor targets)
    {
        int columns = logits.Shape.ColumnCount, rows = checked((int)logits.Shape.RowCount);
        double total = 0;
        for (int row = 0; row < rows; row++)
        {
            Span<float> x = logits.AsSpan<float>().Slice(row * columns, columns), target = targets.AsSpan<float>().Slice(row * columns, columns);
            (double max, double sum) = SoftmaxReference.LogSumExp(x, 1);
            double targetSum = 0;
            foreach (float share in target) targetSum += share;
            for (int j = 0; j < columns; j++)
                if (target[j] != 0) total += target[j] * (Math.Log(sum) - (x[j] - max));
            // A row whose targets are all 0 must still not hide a NaN.
            total += 0 * sum;
            if (dLogits is null) continue;
            Span<float> dx = dLogits.AsSpan<float>().Slice(row * columns, columns);
            for (int j = 0; j < columns; j++) dx[j] = (float)(((Math.Exp(x[j] - max) / sum * targetSum) - target[j]) / rows);
        }
        loss.AsSpan<float>()[0] = rows == 0 ? 0f : (float)(total / rows);
    }
}
