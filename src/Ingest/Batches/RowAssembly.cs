using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>How rows of elements become a <see cref="TensorBatch"/>: the layout, what measures elements for padded columns, what writes them.</summary>
internal sealed class RowAssembly<T>(string operatorName, BatchLayout layout, BatchMeasure<T>? measure, RowWriter<T> writer)
{
    private readonly int _extentCount = layout.ExtentCount;

    internal string OperatorName => operatorName;

    internal BatchLayout Layout => layout;

    internal RowWriter<T> Writer => writer;

    /// <summary>Makes the batch; the run stays the caller's.</summary>
    /// <param name="run">The rows.</param>
    /// <param name="memory">Where the batch lies.</param>
    /// <param name="context">Of the batch: its epoch and cancellation are the elements' too.</param>
    internal TensorBatch Assemble(ElementRun<T> run, IBatchMemory memory, in ElementContext context)
    {
        int[] extents = ArrayPool<int>.Shared.Rent(run.Count * _extentCount);
        TensorBatch? batch = null;
        try
        {
            for (int row = 0; row < run.Count && _extentCount > 0; row++) Measure(run, row, ExtentsOf(extents, row));
            batch = new TensorBatch(PlacementOf(run, extents), memory, run.FirstIndex);
            for (int row = 0; row < run.Count; row++) Write(run, row, batch, ExtentsOf(extents, row), context);
            batch.SetCount(run.Count);
            return batch;
        }
        catch
        {
            batch?.Dispose();
            throw;
        }
        finally
        {
            ArrayPool<int>.Shared.Return(extents);
        }
    }

    private Span<int> ExtentsOf(int[] extents, int row) => extents.AsSpan(row * _extentCount, _extentCount);

    private void Measure(ElementRun<T> run, int row, Span<int> extents)
    {
        try
        {
            BatchExtents place = new(layout, extents);
            measure!(run[row], place);
            place.CheckComplete();
        }
        catch (Exception e)
        {
            throw IngestException.Wrap(operatorName, run.Origin(row).Index, run.Origin(row).Source, e);
        }
    }

    private void Write(ElementRun<T> run, int row, TensorBatch batch, ReadOnlySpan<int> extents, in ElementContext context)
    {
        try
        {
            writer.Write(run[row], batch, row, extents, new ElementContext(context.Epoch, run.Origin(row).Index, context.Cancellation));
            for (int i = 0; i < layout.Columns.Length; i++)
                if (layout.Columns[i].LengthsOf is var padded and >= 0) batch[i].Row<int>(row)[0] = extents[layout.Columns[padded].FirstExtent];
        }
        catch (Exception e)
        {
            throw IngestException.Wrap(operatorName, run.Origin(row).Index, run.Origin(row).Source, e);
        }
    }

    private BatchPlacement PlacementOf(ElementRun<T> run, int[] extents)
    {
        if (!layout.IsPadded) return layout.PlacementOf(run.Capacity);
        int[][] shapes = [.. layout.Columns.Select(column => column.RowShape.ToArray())];
        for (int i = 0; i < shapes.Length; i++)
        {
            BatchColumnLayout column = layout.Columns[i];
            for (int d = 0; d < shapes[i].Length; d++)
                if (shapes[i][d] == BatchLayout.Longest) shapes[i][d] = LongestOf(column, column.FirstExtent + d, run.Count, extents);
        }
        // Rows that a last batch lacks are not padded either: its memory is as small as it can be.
        return new BatchPlacement(layout, run.Count, shapes);
    }

    private int LongestOf(BatchColumnLayout column, int extent, int rowCount, int[] extents)
    {
        int longest = 0;
        for (int row = 0; row < rowCount; row++) longest = Math.Max(longest, extents[(row * _extentCount) + extent]);
        return checked((longest + column.MultipleOf - 1) / column.MultipleOf * column.MultipleOf);
    }
}

/// <summary>Makes batches of gathered elements; on any thread.</summary>
internal sealed class AssembleFunction<T>(RowAssembly<T> assembly, IBatchMemory memory) : ElementFunction<ElementRun<T>, TensorBatch>
{
    internal override bool NeedsContext => true;

    internal override TensorBatch Apply(ElementRun<T> element, in ElementContext context)
    {
        using (element) return assembly.Assemble(element, memory, context);
    }
}
