namespace DistTrain.Kernels;

/// <summary>The labels of a batch on the CPU: which rows count, and whether all name a class.</summary>
internal static class ClassLabels
{
    /// <summary>Rows that are not ignored.</summary>
    /// <exception cref="ArgumentException">A label is neither a class nor the ignore index.</exception>
    public static int CountRows(string operation, Tensor labels, int classCount, int ignoreIndex)
    {
        ReadOnlySpan<int> values = labels.AsSpan<int>();
        int count = 0;
        for (int row = 0; row < values.Length; row++)
        {
            if (values[row] == ignoreIndex) continue;
            if ((uint)values[row] >= (uint)classCount)
            {
                throw new ArgumentException(
                    $"{operation}: the label of row {row} is {values[row]}, it must be 0 to {classCount - 1} or the ignore index {ignoreIndex}");
            }
            count++;
        }
        return count;
    }
}
