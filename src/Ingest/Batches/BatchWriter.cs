namespace DistTrain.Ingest;

/// <summary>Writes one element into its row of a batch: every column, straight to where it belongs.</summary>
/// <param name="element">Lent for the call.</param>
/// <param name="row">The element's row; valid during the call.</param>
public delegate void BatchWriter<in T>(T element, BatchRow row);

/// <summary>The same for a writer that wants to know the element's index and epoch, or random numbers keyed by them: augmentation while copying.</summary>
/// <param name="element">Lent for the call.</param>
/// <param name="row">The element's row; valid during the call.</param>
/// <param name="context">What is known of the element.</param>
public delegate void ContextBatchWriter<in T>(T element, BatchRow row, ElementContext context);

/// <summary>Tells how large an element is in each padded column.</summary>
/// <param name="element">Lent for the call.</param>
/// <param name="extents">To be set for every padded column; valid during the call.</param>
public delegate void BatchMeasure<in T>(T element, BatchExtents extents);

/// <summary>A writer of either kind.</summary>
internal readonly record struct RowWriter<T>(BatchWriter<T>? Plain, ContextBatchWriter<T>? WithContext)
{
    internal bool NeedsContext => WithContext is not null;

    /// <summary>Writes a row and sees that no column was left out.</summary>
    internal void Write(T element, TensorBatch batch, int row, ReadOnlySpan<int> extents, in ElementContext context)
    {
        ulong written = 0;
        BatchRow place = new(batch, row, extents, ref written);
        if (Plain is not null) Plain(element, place);
        else WithContext!(element, place, context);
        place.CheckComplete();
    }
}
