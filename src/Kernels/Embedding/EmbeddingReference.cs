namespace DistTrain.Kernels;

/// <summary>Plain loops; gradients in double precision.</summary>
internal static class EmbeddingReference
{
    public static void Forward(Tensor output, Tensor indices, Tensor table)
    {
        Span<float> result = output.AsSpan<float>(), rows = table.AsSpan<float>();
        Span<int> chosen = indices.AsSpan<int>();
        int columns = table.Shape[1];
        for (int i = 0; i < chosen.Length; i++)
            for (int j = 0; j < columns; j++) result[(i * columns) + j] = rows[(chosen[i] * columns) + j];
    }

    public static void BackwardWeight(Tensor dTable, Tensor dOutput, Tensor indices, bool accumulate)
    {
        Span<float> rows = dTable.AsSpan<float>(), gradients = dOutput.AsSpan<float>();
        Span<int> chosen = indices.AsSpan<int>();
        int columns = dTable.Shape[1];
        double[] sums = new double[rows.Length];
        for (int i = 0; i < chosen.Length; i++)
            for (int j = 0; j < columns; j++) sums[(chosen[i] * columns) + j] += gradients[(i * columns) + j];
        for (int i = 0; i < rows.Length; i++) rows[i] = (float)(sums[i] + (accumulate ? rows[i] : 0));
    }
}
