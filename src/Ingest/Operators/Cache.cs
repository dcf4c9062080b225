using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Keeps the elements in memory as they first come by, so that later epochs and other runs over this same object take them from there. What comes before gives
    /// its first epoch's elements in every epoch. Elements that don't fit the memory budget (<see cref="IngestOptions.MemoryBudgetBytes"/>) are read again each time.
    /// </summary>
    /// <param name="codec">
    /// Copies elements that are disposable, which are kept as bytes; by default the library's own, if it knows the type. Others are kept as they are, and must not be changed.
    /// </param>
    /// <exception cref="ArgumentException">The elements are disposable, and there is no codec for them.</exception>
    public Dataset<T> Cache(ElementCodec<T>? codec = null)
    {
        codec ??= ElementCodec<T>.Default;
        if (Ownership<T>.IsCertain && codec is null)
            throw new ArgumentException($"Cache must copy elements of type {typeof(T)}, which are disposable: give a codec, let the type implement IEncodable, or put Cache after a Map to one that need not be disposed");
        return new CacheDataset<T>(this, codec);
    }
}

internal sealed class CacheDataset<T>(Dataset<T> input, ElementCodec<T>? codec) : Dataset<T>
{
    // Shared by all runs over this recipe.
    private readonly CacheStore<T> _store = new(Ownership<T>.IsCertain ? codec : null);

    public override string Name => "Cache";

    public override Cardinality Cardinality => _store.IsComplete ? Cardinality.Of(_store.Count) : input.Cardinality;

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context) => new CacheStream<T>(input.Open(context.ForEpoch(0)), _store, context);

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => new CacheReader<T>(input.OpenIndexed(context.ForEpoch(0)), _store);
}

/// <summary>Reads by number: from the store if all is there, else from the input. Only whole passes fill the store.</summary>
internal sealed class CacheReader<T>(IndexedReader<T> input, CacheStore<T> store) : IndexedReader<T>
{
    public override long Count => input.Count;

    public override T Read(long position) => store.IsComplete ? store.Get(position).Element : input.Read(position);

    public override long IndexAt(long position) => input.IndexAt(position);

    public override SourceLocation SourceAt(long position) => input.SourceAt(position);

    public override long ToGlobal(long position) => input.ToGlobal(position);

    public override long FromGlobal(long global) => input.FromGlobal(global);

    protected override void Dispose(bool disposing)
    {
        input.Dispose();
        base.Dispose(disposing);
    }
}

internal sealed class CacheStream<T>(ElementStream<T> input, CacheStore<T> store, StreamContext context) : UnaryStream<T, T>("Cache", input)
{
    // What this pass has gathered; null when it began in the middle, or what it gathers has become too large.
    private CacheStore<T>.Filling? _filling = store.IsComplete || store.IsTooLarge ? null : store.BeginFilling(context.Options);
    private readonly bool _isFromStore = store.IsComplete;
    private long _taken, _index = -1;

    public override long ElementIndex => _index;

    public override SourceLocation Source => _isFromStore ? SourceLocation.None : Input.Source;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        if (_isFromStore) return TryNextFromStore(out element);
        try
        {
            if (!Input.TryNext(out element))
            {
                _filling?.Complete();
                _filling = null;
                return false;
            }
        }
        catch
        {
            // A pass with a hole is no copy of the data.
            _filling = null;
            throw;
        }
        _taken++;
        _index = Input.ElementIndex;
        if (_filling is not null && !_filling.TryAdd(element, _index)) _filling = null;
        return true;
    }

    public override long Skip(long count)
    {
        if (!_isFromStore)
        {
            if (count > 0) _filling = null;
            long passed = Input.Skip(count);
            _taken += passed;
            return passed;
        }
        long skipped = Math.Min(count, store.Count - _taken);
        _taken += skipped;
        return skipped;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_taken);
        writer.WriteBoolean(_isFromStore);
        if (!_isFromStore) Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        long taken = reader.ReadInt64(0, long.MaxValue, "the number of elements taken");
        bool wasFromStore = reader.ReadBoolean();
        if (taken > 0) _filling = null;
        if (wasFromStore)
        {
            // The store may be gone, with the process: then the input gives the same elements, in the same order.
            if (Skip(taken) < taken) throw StateReader.Error(0, $"Cache: {taken} elements had been taken, there are fewer now: the data have changed");
            return;
        }
        Input.Restore(reader);
        _taken = taken;
    }

    private bool TryNextFromStore([MaybeNullWhen(false)] out T element)
    {
        element = default;
        if (_taken >= store.Count) return false;
        (element, _index) = store.Get(_taken++);
        return true;
    }
}
