namespace DistTrain.Kernels;

/// <summary>Plain loops in double: the oracle.</summary>
internal static class SoftmaxReference
{
    public static void Forward(Tensor output, Tensor input, float temperature)
    {
        Span<float> y = output.AsSpan<float>(), x = input.AsSpan<float>();
        int columns = output.Shape.ColumnCount;
        for (int start = 0; start < x.Length; start += columns)
        {
            (double max, double sum) = LogSumExp(x.Slice(start, columns), temperature);
            for (int j = start; j < start + columns; j++) y[j] = (float)(Math.Exp((x[j] - max) / temperature) / sum);
        }
    }

    public static void LogForward(Tensor output, Tensor input, float temperature)
    {
        Span<float> y = output.AsSpan<float>(), x = input.AsSpan<float>();
        int columns = output.Shape.ColumnCount;
        for (int start = 0; start < x.Length; start += columns)
        {
            (double max, double sum) = LogSumExp(x.Slice(start, columns), temperature);
            for (int j = start; j < start + columns; j++) y[j] = (float)(((x[j] - max) / temperature) - Math.Log(sum));
        }
    }

    public static void Backward(Tensor dInput, Tensor dOutput, Tensor output, float temperature)
    {
        Span<float> dx = dInput.AsSpan<float>(), dy = dOutput.AsSpan<float>(), y = output.AsSpan<float>();
        int columns = output.Shape.ColumnCount;
        for (int start = 0; start < y.Length; start += columns)
        {
            double dot = 0;
            for (int j = start; j < start + columns; j++) dot += (double)dy[j] * y[j];
            for (int j = start; j < start + columns; j++) dx[j] = (float)(y[j] * (dy[j] - dot) / temperature);
        }
    }

    public static void LogBackward(Tensor dInput, Tensor dOutput, Tensor output, float temperature)
    {
        Span<float> dx = dInput.AsSpan<float>(), dy = dOutput.AsSpan<float>(), y = output.AsSpan<float>();
        int columns = output.Shape.ColumnCount;
        for (int start = 0; start < y.Length; start += columns)
        {
            double sum = 0;
            for (int j = start; j < start + columns; j++) sum += dy[j];
            for (int j = start; j < start + columns; j++) dx[j] = (float)((dy[j] - (Math.Exp(y[j]) * sum)) / temperature);
        }
    }

    /// <summary>The row's maximum m and Σ exp((x - m) / T); NaN as the sum where the row holds NaN or +infinity, or only -infinity.</summary>
    public static (double Max, double Sum) LogSumExp(ReadOnlySpan<float> row, double temperature)
    {
        double max = double.NegativeInfinity, sum = 0;
        foreach (float x in row) max = Math.Max(max, x);
        foreach (float x in row) sum += Math.Exp((x - max) / temperature);
        return (max, sum);
    }
}
