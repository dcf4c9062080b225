using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;

namespace DistTrain.Ingest;

/// <summary>
/// An input of which the position some elements ago can be saved, for operators that take elements before they are asked for them. A seekable input tells it
/// from the count. Of another one a state is taken down now and then (an anchor), and the elements since then are counted; restoring replays them.
/// Elements are taken by one thread; positions may be written by another.
/// </summary>
internal sealed class AnchoredInput<T>(ElementStream<T> input, bool isPositionAsked = true) : IDisposable
{
    private const long LeastGap = 64, GreatestGap = 1 << 20;

    // Between two anchors there are never more.
    private const long MostReplayed = GreatestGap;

    // Anchors may take a hundredth of the time.
    private const int CostShare = 100;

    private readonly List<Anchor> _anchors = [];
    private readonly Stack<StateWriter> _spareWriters = [];
    private readonly bool _isSeekable = input.IsSeekable;
    private readonly bool _isAnchored = isPositionAsked && !input.IsSeekable;
    private long _taken, _nextAnchor, _lastAnchorTime, _gap = LeastGap, _oldestNeeded;

    // Error: why there is no state at that position.
    private readonly record struct Anchor(long Position, StateWriter State, Exception? Error);

    internal ElementStream<T> Stream => input;

    /// <summary>Elements taken since the input was opened or restored; one that failed counts too.</summary>
    internal long Taken => _taken;

    /// <summary>No position before this one will be asked for any more.</summary>
    internal long OldestNeeded
    {
        set => Volatile.Write(ref _oldestNeeded, value);
    }

    /// <summary>Called once before the first element is taken, while no other thread uses the input.</summary>
    internal void Start()
    {
        if (_isAnchored) TakeAnchor();
    }

    internal bool TryNext([MaybeNullWhen(false)] out T element)
    {
        if (_isAnchored && _taken >= _nextAnchor) TakeAnchor();
        try
        {
            if (!input.TryNext(out element)) return false;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            _taken++;
            throw;
        }
        _taken++;
        return true;
    }

    /// <summary>Passes over elements of the input; one that fails counts too.</summary>
    internal long Skip(long count)
    {
        try
        {
            long skipped = input.Skip(count);
            _taken += skipped;
            return skipped;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            _taken++;
            throw;
        }
    }

    /// <summary>Writes the input's position after its first <paramref name="position"/> elements.</summary>
    internal void WritePosition(long position, StateWriter writer)
    {
        writer.WriteBoolean(_isSeekable);
        if (_isSeekable) input.SaveAt(position, writer);
        else if (_anchors.Count == 0) WriteReplay(input, writer);
        else
        {
            lock (_anchors)
            {
                Anchor anchor = _anchors.FindLast(a => a.Position <= position);
                if (anchor.Error is not null) ExceptionDispatchInfo.Throw(anchor.Error);
                writer.WriteInt64(position - anchor.Position);
                writer.WriteBytes(anchor.State.Written.Span);
            }
        }
    }

    internal void Restore(StateReader reader) => RestoreNow(input, reader);

    /// <summary>Writes where a stream stands now, as <see cref="WritePosition"/> would: for operators that take elements ahead only if they have threads.</summary>
    internal static void WriteNow(ElementStream<T> stream, StateWriter writer)
    {
        writer.WriteBoolean(stream.IsSeekable);
        if (stream.IsSeekable) stream.Save(writer);
        else WriteReplay(stream, writer);
    }

    /// <summary>Goes to what <see cref="WritePosition"/> or <see cref="WriteNow"/> wrote.</summary>
    internal static void RestoreNow(ElementStream<T> stream, StateReader reader)
    {
        if (reader.ReadBoolean())
        {
            stream.Restore(reader);
            return;
        }
        long count = reader.ReadInt64(0, MostReplayed, "the number of elements to replay");
        StateReader inner = reader.Inner(reader.ReadBytes());
        stream.Restore(inner);
        inner.RequireEnd();
        long left = count;
        while (left > 0)
        {
            try
            {
                if (!stream.TryPass(ref left)) throw StateReader.Error(0, $"{count} elements are to be replayed, there are {count - left}: the data have changed");
            }
            catch (Exception e) when (e is not (OperationCanceledException or DataFormatException { File: StateReader.Name }))
            {
                // It failed before too, and counted as an element.
            }
        }
    }

    public void Dispose() => input.Dispose();

    private static void WriteReplay(ElementStream<T> stream, StateWriter writer)
    {
        writer.WriteInt64(0);
        int place = writer.BeginBytes();
        stream.Save(writer);
        writer.EndBytes(place);
    }

    private void TakeAnchor()
    {
        long began = Stopwatch.GetTimestamp();
        StateWriter state = _spareWriters.TryPop(out StateWriter? spare) ? spare : new StateWriter();
        state.Clear();
        Exception? error = null;
        try
        {
            input.Save(state);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Only somebody who wants to save has to know.
            error = e;
        }
        lock (_anchors)
        {
            long oldest = Volatile.Read(ref _oldestNeeded);
            while (_anchors.Count > 1 && _anchors[1].Position <= oldest)
            {
                _spareWriters.Push(_anchors[0].State);
                _anchors.RemoveAt(0);
            }
            _anchors.Add(new Anchor(_taken, state, error));
        }
        long ended = Stopwatch.GetTimestamp();
        AdaptGap(began - _lastAnchorTime, ended - began);
        _lastAnchorTime = ended;
        _nextAnchor = error is NotSupportedException ? long.MaxValue : _taken + _gap;
    }

    private void AdaptGap(long sinceLast, long cost)
    {
        if (_taken == 0 || sinceLast <= 0) return;
        double ticksPerElement = (double)sinceLast / _gap;
        _gap = (long)Math.Clamp(CostShare * cost / ticksPerElement, LeastGap, GreatestGap);
    }
}
