using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>The elements over and over, each time as a new epoch: operators before this one draw other random numbers in each.</summary>
    /// <param name="count">How many epochs; null: no end, unless an epoch has no elements.</param>
    public Dataset<T> Repeat(long? count = null)
    {
        if (count is { } epochs) ArgumentOutOfRangeException.ThrowIfNegative(epochs, nameof(count));
        return new RepeatDataset<T>(this, count ?? long.MaxValue);
    }
}

internal sealed class RepeatDataset<T>(Dataset<T> input, long epochCount) : Dataset<T>
{
    public override string Name => "Repeat";

    public override Cardinality Cardinality => epochCount == long.MaxValue && input.Cardinality is not { IsKnown: true, Count: 0 }
        ? Cardinality.Infinite
        : input.Cardinality is { IsKnown: true, Count: var n } ? Cardinality.Product(n, epochCount) : epochCount == 0 ? Cardinality.Of(0) : input.Cardinality;

    protected internal override ElementStream<T> Open(StreamContext context) => new RepeatStream<T>(input, context, epochCount);
}

internal sealed class RepeatStream<T>(Dataset<T> input, StreamContext context, long epochCount) : ElementStream<T>
{
    private ElementStream<T>? _stream;
    // Elements of the open epoch since it was opened or gone on with.
    private long _epoch, _startEpoch, _inEpoch;
    private bool _isEpochEmpty = true, _isRestored, _isStartEpochEmpty = true;
    private bool? _isSeekable;

    // Of an epoch that was gone on with: where in it.
    private ReadOnlyMemory<byte> _startState;

    public override long ElementIndex => _stream is null ? -1 : EpochIndex.Of(NumberOf(_epoch), _stream.ElementIndex);

    public override SourceLocation Source => _stream?.Source ?? SourceLocation.None;

    // What has an index may still give a stream that must be followed.
    public override bool IsSeekable => _isSeekable ??= input.HasIndex && IsEpochSeekable();

    public override long Extent
    {
        get
        {
            if (_startEpoch >= epochCount) return 0;
            long rest = EpochExtent(_startEpoch), more = epochCount - _startEpoch - 1;
            long each = more == 0 ? 0 : EpochExtent(_startEpoch + 1);
            return each > 0 && more > (long.MaxValue - rest) / each ? long.MaxValue : rest + (more * each);
        }
    }

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        while (_epoch < epochCount)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            _stream ??= OpenEpoch(_epoch);
            // An element that fails counts as one.
            _inEpoch++;
            if (_stream.TryNext(out element))
            {
                _isEpochEmpty = false;
                return true;
            }
            if (!TryEndEpoch()) break;
        }
        element = default;
        return false;
    }

    public override int TakeMany(Span<T> destination)
    {
        if (!IsSeekable) return base.TakeMany(destination);
        int taken = 0;
        while (taken < destination.Length && _epoch < epochCount)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            _stream ??= OpenEpoch(_epoch);
            // No more than the epoch has: so that it is known how many were passed over if one fails.
            int asked = (int)Math.Min(destination.Length - taken, _stream.Extent - _inEpoch);
            if (asked > 0) taken += TakeHere(destination, taken, asked);
            else if (!TryEndEpoch()) break;
        }
        return taken;
    }

    public override long Skip(long count)
    {
        long skipped = 0;
        while (skipped < count && _epoch < epochCount)
        {
            context.Cancellation.ThrowIfCancellationRequested();
            _stream ??= OpenEpoch(_epoch);
            long here = _stream.Skip(count - skipped);
            skipped += here;
            _inEpoch += here;
            if (here > 0) _isEpochEmpty = false;
            if (skipped == count) break;
            if (!TryEndEpoch()) break;
            if (IsSeekable) skipped += SkipWholeEpochs(count - skipped);
        }
        return skipped;
    }

    private int TakeHere(Span<T> destination, int taken, int asked)
    {
        _inEpoch += asked;
        _isEpochEmpty = false;
        try
        {
            return _stream!.TakeMany(destination.Slice(taken, asked));
        }
        catch (Exception e)
        {
            foreach (ref T element in destination[..taken]) Ownership<T>.Release(element);
            if (e is not OperationCanceledException) PassOver(destination.Length - taken - asked);
            throw;
        }
    }

    private long SkipWholeEpochs(long count)
    {
        long each = EpochExtent(_epoch);
        if (each == 0) return 0;
        long epochs = Math.Min(count / each, epochCount - _epoch);
        _epoch += epochs;
        return epochs * each;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator("Repeat");
        writer.WriteInt64(_epoch);
        writer.WriteBoolean(_isEpochEmpty);
        if (_epoch >= epochCount) return;
        _stream ??= OpenEpoch(_epoch);
        _stream.Save(writer);
    }

    public override void SaveAt(long taken, StateWriter writer)
    {
        (long epoch, long place) = (_startEpoch, taken);
        if (epoch + 1 < epochCount && EpochExtent(epoch) is var rest && place >= rest)
        {
            place -= rest;
            epoch++;
            long each = EpochExtent(epoch), more = each == 0 ? 0 : Math.Min(place / each, epochCount - 1 - epoch);
            epoch += more;
            place -= more * each;
        }
        writer.WriteOperator("Repeat");
        writer.WriteInt64(epoch);
        writer.WriteBoolean(place == 0 && (epoch != _startEpoch || _isStartEpochEmpty));
        if (epoch >= epochCount) return;
        using ElementStream<T> probe = OpenAtStart(epoch);
        probe.SaveAt(place, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator("Repeat");
        _startEpoch = _epoch = reader.ReadInt64(0, epochCount, "the epoch");
        _isStartEpochEmpty = _isEpochEmpty = reader.ReadBoolean();
        if (_epoch >= epochCount) return;
        _stream = OpenEpoch(_epoch);
        _stream.Restore(reader);
        if (!IsSeekable) return;
        StateWriter start = new();
        _stream.Save(start);
        (_startState, _isRestored) = (start.Written, true);
    }

    protected override void Dispose(bool disposing)
    {
        _stream?.Dispose();
        _stream = null;
    }

    // Epochs of a Repeat inside another one go on counting.
    private long NumberOf(long epoch) => epochCount == long.MaxValue ? epoch : (context.Epoch * epochCount) + epoch;

    private ElementStream<T> OpenEpoch(long epoch) => input.Open(context.ForEpoch(NumberOf(epoch)));

    // Another stream than the one that runs, which another thread may be using.
    private ElementStream<T> OpenAtStart(long epoch)
    {
        ElementStream<T> stream = OpenEpoch(epoch);
        if (_isRestored && epoch == _startEpoch) stream.Restore(new StateReader(_startState));
        return stream;
    }

    private long EpochExtent(long epoch)
    {
        using ElementStream<T> probe = OpenAtStart(epoch);
        return probe.Extent;
    }

    private bool IsEpochSeekable()
    {
        using ElementStream<T> probe = OpenEpoch(0);
        return probe.IsSeekable;
    }

    // An epoch without elements ends an endless dataset: there might never be another one.
    private bool TryEndEpoch()
    {
        if (_isEpochEmpty && (epochCount == long.MaxValue || input.Cardinality is { IsKnown: true, Count: 0 }))
        {
            _epoch = epochCount;
            return false;
        }
        _stream!.Dispose();
        _stream = null;
        _isEpochEmpty = true;
        _inEpoch = 0;
        _epoch++;
        return _epoch < epochCount;
    }
}
