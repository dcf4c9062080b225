using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// One pass through a cache: from the store if a whole pass is there when the first element is asked for, else from the input, gathering. The state is the place, and the input's where that is what gives the
/// elements; both give the same ones, so that a state saved with a full store can be gone on from with an empty one.
/// </summary>
internal sealed class CacheStream<T>(ElementStream<T> input, CacheStore<T> store, StreamContext context) : UnaryStream<T, T>("Cache", input)
{
    private bool _isStarted;
    private CachedPass<T>? _pass;

    // What this pass has gathered; null when it began in the middle, or what it gathers has become too large.
    private CacheFilling<T>? _filling;
    private long _taken, _index = -1;

    public override long ElementIndex => _index;

    public override SourceLocation Source => _pass is not null ? SourceLocation.None : Input.Source;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        Start();
        bool isThere = _pass is not null ? _pass.TryNext(out element, out _index) : TryNextFromInput(out element);
        if (isThere) _taken++;
        return isThere;
    }

    public override long Skip(long count)
    {
        Start();
        if (_pass is null && count > 0) Abandon();
        long skipped = _pass is not null ? _pass.Skip(count) : Input.Skip(count);
        _taken += skipped;
        return skipped;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_taken);
        writer.WriteBoolean(_pass is not null);
        if (_pass is null) Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        long taken = reader.ReadInt64(0, long.MaxValue, "the number of elements taken");
        if (reader.ReadBoolean())
        {
            if (Skip(taken) < taken) throw StateReader.Error(0, $"Cache: {taken} elements had been taken, there are fewer now: the data have changed");
            return;
        }
        Input.Restore(reader);
        if (taken == 0) return;
        // A pass that begins in the middle is no copy of the data.
        _isStarted = true;
        _taken = taken;
    }

    protected override void Dispose(bool disposing)
    {
        Abandon();
        _pass?.Dispose();
        base.Dispose(disposing);
    }

    private void Start()
    {
        if (_isStarted) return;
        _isStarted = true;
        if (store.IsComplete) _pass = store.OpenPass(context);
        else _filling = store.BeginFilling(context);
    }

    private bool TryNextFromInput([MaybeNullWhen(false)] out T element)
    {
        try
        {
            if (!Input.TryNext(out element))
            {
                _filling?.Complete();
                Abandon();
                return false;
            }
        }
        catch
        {
            // A pass with a hole is no copy of the data.
            Abandon();
            throw;
        }
        _index = Input.ElementIndex;
        if (_filling is not null) Keep(element);
        return true;
    }

    private void Keep(T element)
    {
        try
        {
            if (!_filling!.TryAdd(element, _index)) Abandon();
        }
        catch (Exception e)
        {
            Abandon();
            Ownership<T>.Release(element);
            throw IngestException.Wrap(Name, _index, Input.Source, e, context.Cancellation);
        }
    }

    private void Abandon()
    {
        _filling?.Dispose();
        _filling = null;
    }
}
