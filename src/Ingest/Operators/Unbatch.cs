using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <summary>The elements of batches, one by one; each belongs to whoever takes it.</summary>
    public static Dataset<T> Unbatch<T>(this Dataset<ElementBatch<T>> batches)
    {
        ArgumentNullException.ThrowIfNull(batches);
        return new UnbatchDataset<ElementBatch<T>, T>(batches, static batch => batch.Count, static (batch, place) => batch.Take(place));
    }

    /// <summary>The elements of arrays, one by one.</summary>
    public static Dataset<T> Unbatch<T>(this Dataset<T[]> batches)
    {
        ArgumentNullException.ThrowIfNull(batches);
        return new UnbatchDataset<T[], T>(batches, static batch => batch.Length, static (batch, place) => batch[place]);
    }

    /// <summary>An element for each row of batches.</summary>
    /// <param name="batches">Lent row by row, then disposed.</param>
    /// <param name="row">Makes an element of the row of that number; must not keep the batch.</param>
    public static Dataset<T> Unbatch<T>(this Dataset<TensorBatch> batches, Func<TensorBatch, int, T> row)
    {
        ArgumentNullException.ThrowIfNull(batches);
        ArgumentNullException.ThrowIfNull(row);
        return new UnbatchDataset<TensorBatch, T>(batches, static batch => batch.Count, row);
    }
}

internal sealed class UnbatchDataset<TBatch, T>(Dataset<TBatch> input, Func<TBatch, int> count, Func<TBatch, int, T> take) : Dataset<T>
{
    public override string Name => "Unbatch";

    public override Cardinality Cardinality => input.Cardinality is { IsKnown: true, Count: 0 } ? input.Cardinality : input.Cardinality.OrUnknown();

    protected internal override ElementStream<T> Open(StreamContext context) => new UnbatchStream<TBatch, T>(input.Open(context), count, take);
}

internal sealed class UnbatchStream<TBatch, T>(ElementStream<TBatch> input, Func<TBatch, int> count, Func<TBatch, int, T> take) : ElementStream<T>
{
    private readonly AnchoredInput<TBatch> _input = new(input);
    private TBatch? _batch;
    private bool _isStarted, _hasBatch;

    // The next place in the batch that is there, or of the first one after restoring.
    private int _place, _count;
    private long _given;

    public override long ElementIndex => _given - 1;

    public override SourceLocation Source => input.Source;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        while (!_hasBatch || _place == _count)
        {
            if (TryTakeBatch()) continue;
            element = default;
            return false;
        }
        // An element that can't be made counts as one.
        _given++;
        int place = _place++;
        try
        {
            element = take(_batch!, place);
            return true;
        }
        catch (Exception e)
        {
            throw IngestException.Wrap("Unbatch", ElementIndex, Source, e);
        }
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator("Unbatch");
        writer.WriteInt64(_given);
        writer.WriteInt64(_place);
        _input.WritePosition(_hasBatch ? _input.Taken - 1 : _input.Taken, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator("Unbatch");
        _given = reader.ReadInt64(0, long.MaxValue, "the number of elements");
        _place = (int)reader.ReadInt64(0, int.MaxValue, "the place in the batch");
        _input.Restore(reader);
    }

    protected override void Dispose(bool disposing)
    {
        Release();
        _input.Dispose();
    }

    private bool TryTakeBatch()
    {
        if (_hasBatch)
        {
            Release();
            _place = 0;
        }
        if (!_isStarted) _input.Start();
        _isStarted = true;
        _input.OldestNeeded = _input.Taken;
        if (!TryTake()) return false;
        _hasBatch = true;
        _count = count(_batch!);
        if (_place <= _count) return true;
        int place = _place;
        _place = 0;
        Release();
        throw StateReader.Error(0, $"Unbatch: {place} elements of a batch had been taken, it has {_count} now: the data have changed");
    }

    private bool TryTake()
    {
        try
        {
            return _input.TryNext(out _batch);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // The place was one in the batch that failed.
            _place = 0;
            throw;
        }
    }

    private void Release()
    {
        if (!_hasBatch) return;
        _hasBatch = false;
        if (_batch is T[] elements)
            foreach (ref T element in elements.AsSpan(_place)) Ownership<T>.Release(element);
        else Ownership<TBatch>.Release(_batch);
        _batch = default;
    }
}
