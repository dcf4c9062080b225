namespace DistTrain.Kernels;

/// <summary>Rows of a table chosen by index, and the gradient of the table.</summary>
public static class Embedding
{
    /// <summary>
    /// output[..., :] = table[indices[...], :]. Output f32 [..., D], overwritten; indices i32 [...]; table f32 [V, D]. Enqueues and returns.
    /// An index outside the table is an error on the CPU; a GPU, which can't throw, writes a row of NaN.
    /// </summary>
    /// <exception cref="ShapeException">The shapes do not fit.</exception>
    /// <exception cref="ArgumentException">An index lies outside the table (CPU).</exception>
    public static void Forward(ExecutionStream stream, Tensor output, Tensor indices, Tensor table)
    {
        const string Operation = "embedding";
        Check.Operand(Operation, stream, output);
        CheckOperands(Operation, stream, output, indices, table, nameof(output));
        if (output.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice cpu:
                CheckIndices(Operation, indices, table.Shape[0]);
                if (cpu.InstructionSet == InstructionSet.Reference) EmbeddingReference.Forward(output, indices, table);
                else EmbeddingSimd.Forward(cpu, output, indices, table);
                break;
            case GpuDevice gpu: EmbeddingGpu.Forward(gpu, stream, output, indices, table); break;
        }
    }

    /// <summary>
    /// dTable[v, :] = Σ dOutput[i, :] over the positions i with index v, in ascending order of i; added to dTable if
    /// <paramref name="accumulate"/>, else overwriting it (rows of unused indices become 0). An index outside the table is an error on
    /// the CPU and ignored on a GPU. Deterministic on every device.
    /// </summary>
    /// <exception cref="ShapeException">The shapes do not fit.</exception>
    /// <exception cref="ArgumentException">An index lies outside the table (CPU).</exception>
    public static void BackwardWeight(ExecutionStream stream, Tensor dTable, Tensor dOutput, Tensor indices, bool accumulate = false)
    {
        const string Operation = "embedding backward";
        Check.Operand(Operation, stream, dOutput);
        CheckOperands(Operation, stream, dOutput, indices, dTable, nameof(dOutput), nameof(dTable));
        if (dTable.ElementCount == 0) return;
        switch (stream.Device)
        {
            case CpuDevice cpu:
                CheckIndices(Operation, indices, dTable.Shape[0]);
                if (cpu.InstructionSet == InstructionSet.Reference) EmbeddingReference.BackwardWeight(dTable, dOutput, indices, accumulate);
                else EmbeddingSimd.BackwardWeight(cpu, dTable, dOutput, indices, accumulate);
                break;
            case GpuDevice gpu: EmbeddingGpu.BackwardWeight(gpu, stream, dTable, dOutput, indices, accumulate); break;
        }
    }

    private static void CheckOperands(string operation, ExecutionStream stream, Tensor rows, Tensor indices, Tensor table, string rowsName, string tableName = "table")
    {
        Check.Operand(operation, stream, indices, DType.I32);
        Check.Operand(operation, stream, table, DType.F32, tableName);
        Check.Rule(operation, table.Shape.DimensionCount == 2, $"{tableName} has shape {table.Shape}, expected [rows, columns]");
        int count = indices.Shape.DimensionCount;
        Check.Rule(operation,
            rows.Shape.DimensionCount == count + 1 && rows.Shape.Dimensions[..count].SequenceEqual(indices.Shape.Dimensions) && rows.Shape[-1] == table.Shape[1],
            $"{rowsName} has shape {rows.Shape}, expected the indices' shape {indices.Shape} followed by the table's {table.Shape[1]} columns");
    }

    private static void CheckIndices(string operation, Tensor indices, int rowCount)
    {
        ReadOnlySpan<int> values = indices.AsSpan<int>();
        for (int i = 0; i < values.Length; i++)
            if ((uint)values[i] >= (uint)rowCount)
                throw new ArgumentException($"{operation}: index {values[i]} at position {i} of {indices.Shape} is outside the table's {rowCount} rows");
    }
}
