namespace DistTrain.Kernels;

/// <summary>Plain loops in double precision, a query at a time: the oracle. A row of scores is all that is ever held.</summary>
internal static class AttentionReference
{
    public static void Forward(AttentionLayout layout, Tensor output, Tensor logSumExp, Tensor query, Tensor key, Tensor value, Tensor? keyLengths)
    {
        Span<float> lse = logSumExp.AsSpan<float>();
        double[] scores = new double[layout.Keys];
        for (int pair = 0; pair < layout.PairCount; pair++)
            for (int i = 0; i < layout.Queries; i++)
            {
                int visible = Visible(layout, keyLengths, pair, i);
                Span<float> q = Row(layout, query, layout.QueryStart(pair), i), o = Row(layout, output, layout.QueryStart(pair), i);
                double largest = double.NegativeInfinity, sum = 0;
                for (int j = 0; j < visible; j++)
                {
                    scores[j] = layout.Scale * Dot(q, Row(layout, key, layout.KeyStart(pair), j));
                    if (!(scores[j] <= largest)) largest = scores[j];
                }
                for (int j = 0; j < visible; j++) sum += scores[j] = Math.Exp(scores[j] - largest);
                for (int d = 0; d < layout.HeadSize; d++)
                {
                    double total = 0;
                    for (int j = 0; j < visible; j++) total += scores[j] * Row(layout, value, layout.KeyStart(pair), j)[d];
                    o[d] = visible == 0 ? 0 : (float)(total / sum);
                }
                lse[(pair * layout.Queries) + i] = visible == 0 ? float.NegativeInfinity : (float)(largest + Math.Log(sum));
            }
    }

    public static void Backward(AttentionLayout layout, AttentionGradients gradients, Tensor query, Tensor key, Tensor value, Tensor? keyLengths)
    {
        double[] dKey = new double[layout.Keys * layout.HeadSize], dValue = new double[dKey.Length];
        for (int pair = 0; pair < layout.PairCount; pair++)
        {
            Array.Clear(dKey);
            Array.Clear(dValue);
            for (int i = 0; i < layout.Queries; i++) BackwardOfQuery(layout, gradients, query, key, value, keyLengths, pair, i, dKey, dValue);
            for (int j = 0; j < layout.Keys; j++)
            {
                Span<float> dk = Row(layout, gradients.DKey, layout.KeyStart(pair), j), dv = Row(layout, gradients.DValue, layout.KeyStart(pair), j);
                for (int d = 0; d < layout.HeadSize; d++)
                {
                    dk[d] = (float)dKey[(j * layout.HeadSize) + d];
                    dv[d] = (float)dValue[(j * layout.HeadSize) + d];
                }
            }
        }
    }

    private static void BackwardOfQuery(
        AttentionLayout layout, AttentionGradients gradients, Tensor query, Tensor key, Tensor value, Tensor? keyLengths,
        int pair, int i, double[] dKey, double[] dValue)
    {
        long start = layout.QueryStart(pair);
        Span<float> q = Row(layout, query, start, i), dOut = Row(layout, gradients.DOutput, start, i), dq = Row(layout, gradients.DQuery, start, i);
        double mean = Dot(dOut, Row(layout, gradients.Output, start, i)), lse = gradients.LogSumExp.AsSpan<float>()[(pair * layout.Queries) + i];
        double[] total = new double[layout.HeadSize];
        int visible = Visible(layout, keyLengths, pair, i);
        for (int j = 0; j < visible; j++)
        {
            Span<float> k = Row(layout, key, layout.KeyStart(pair), j);
            double probability = Math.Exp((layout.Scale * Dot(q, k)) - lse);
            double dScore = probability * (Dot(dOut, Row(layout, value, layout.KeyStart(pair), j)) - mean) * layout.Scale;
            for (int d = 0; d < layout.HeadSize; d++)
            {
                total[d] += dScore * k[d];
                dKey[(j * layout.HeadSize) + d] += dScore * q[d];
                dValue[(j * layout.HeadSize) + d] += probability * dOut[d];
            }
        }
        for (int d = 0; d < layout.HeadSize; d++) dq[d] = (float)total[d];
    }

    private static int Visible(AttentionLayout layout, Tensor? keyLengths, int pair, int query) =>
        layout.VisibleKeys(query, keyLengths is null ? layout.Keys : layout.ClampLength(keyLengths.AsSpan<int>()[pair / layout.Heads]));

    private static Span<float> Row(AttentionLayout layout, Tensor tensor, long start, int position) =>
        tensor.AsSpan<float>().Slice(checked((int)(start + ((long)position * layout.RowStride))), layout.HeadSize);

    private static double Dot(ReadOnlySpan<float> left, ReadOnlySpan<float> right)
    {
        double sum = 0;
        for (int d = 0; d < left.Length; d++) sum += (double)left[d] * right[d];
        return sum;
    }
}
