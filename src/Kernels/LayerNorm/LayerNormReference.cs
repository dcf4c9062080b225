namespace DistTrain.Kernels;

/// <summary>Plain loops in double precision: the oracle.</summary>
internal static class LayerNormReference
{
    public static void Forward(Tensor output, Tensor mean, Tensor inverseStd, Tensor input, Tensor? scale, Tensor? shift, float epsilon)
    {
        int columns = input.Shape.ColumnCount;
        Span<float> y = output.AsSpan<float>(), x = input.AsSpan<float>(), means = mean.AsSpan<float>(), inverses = inverseStd.AsSpan<float>();
        Span<float> g = scale is null ? [] : scale.AsSpan<float>(), b = shift is null ? [] : shift.AsSpan<float>();
        for (int row = 0; row < means.Length; row++)
        {
            Span<float> from = x.Slice(row * columns, columns), to = y.Slice(row * columns, columns);
            double sum = 0, squares = 0;
            foreach (float value in from) sum += value;
            double center = sum / columns;
            foreach (float value in from) squares += (value - center) * (value - center);
            double inverse = 1 / Math.Sqrt((squares / columns) + epsilon);
            for (int c = 0; c < columns; c++)
                to[c] = (float)(((from[c] - center) * inverse * (g.IsEmpty ? 1 : g[c])) + (b.IsEmpty ? 0 : b[c]));
            means[row] = (float)center;
            inverses[row] = (float)inverse;
        }
    }

    public static void BackwardInput(Tensor dInput, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, Tensor? scale)
    {
        int columns = input.Shape.ColumnCount;
        Span<float> dx = dInput.AsSpan<float>(), dy = dOutput.AsSpan<float>(), x = input.AsSpan<float>();
        Span<float> means = mean.AsSpan<float>(), inverses = inverseStd.AsSpan<float>(), g = scale is null ? [] : scale.AsSpan<float>();
        for (int row = 0; row < means.Length; row++)
        {
            int start = row * columns;
            double center = means[row], inverse = inverses[row], sum = 0, product = 0;
            for (int c = 0; c < columns; c++)
            {
                double scaled = dy[start + c] * (double)(g.IsEmpty ? 1 : g[c]);
                sum += scaled;
                product += scaled * (x[start + c] - center) * inverse;
            }
            for (int c = 0; c < columns; c++)
            {
                double scaled = dy[start + c] * (double)(g.IsEmpty ? 1 : g[c]), normalised = (x[start + c] - center) * inverse;
                dx[start + c] = (float)(inverse * (scaled - (sum / columns) - (normalised * product / columns)));
            }
        }
    }

    public static void BackwardWeight(Tensor dScale, Tensor dShift, Tensor dOutput, Tensor input, Tensor mean, Tensor inverseStd, bool accumulate)
    {
        int columns = input.Shape.ColumnCount;
        Span<float> dg = dScale.AsSpan<float>(), db = dShift.AsSpan<float>(), dy = dOutput.AsSpan<float>(), x = input.AsSpan<float>();
        Span<float> means = mean.AsSpan<float>(), inverses = inverseStd.AsSpan<float>();
        for (int c = 0; c < columns; c++)
        {
            double scaleSum = 0, shiftSum = 0;
            for (int row = 0; row < means.Length; row++)
            {
                double gradient = dy[(row * columns) + c];
                scaleSum += gradient * ((double)x[(row * columns) + c] - means[row]) * inverses[row];
                shiftSum += gradient;
            }
            dg[c] = (float)(scaleSum + (accumulate ? dg[c] : 0));
            db[c] = (float)(shiftSum + (accumulate ? db[c] : 0));
        }
    }
}
