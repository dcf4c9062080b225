using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;

namespace DistTrain.Ingest;

/// <summary>Holds the elements from the next window's beginning on; its position is the input's there.</summary>
internal sealed class WindowStream<T>(ElementStream<T> input, WindowShape shape, IBatchMemory memory) : ElementStream<ElementBatch<T>>
{
    private readonly AnchoredInput<T> _input = new(input);

    // Elements that can be disposed move into their window, or are disposed with none.
    private readonly bool _owns = Ownership<T>.Exists && shape.Shift >= shape.Span;

    // A ring: the element at place p behind the window's beginning is at (_head + p) modulo its length.
    private readonly Held[] _held = new Held[shape.Span];
    private int _head, _count;

    // Windows given in all, and since the stream was opened or restored; elements before the next window since then.
    private long _given, _givenHere, _start;
    private bool _isStarted, _isEnded;

    private record struct Held(T Element, Exception? Error);

    public override long ElementIndex => _given - 1;

    public override SourceLocation Source => input.Source;

    public override bool IsSeekable => input.IsSeekable;

    public override long Extent => shape.CountOf(input.Extent);

    public override bool TryNext([MaybeNullWhen(false)] out ElementBatch<T> element)
    {
        Fill();
        element = null;
        if (_count == 0 || (shape.DropRemainder && _count < shape.Span)) return false;
        Exception? error = FindError();
        ElementBatch<T>? window = error is null ? Take() : null;
        _given++;
        _givenHere++;
        Advance();
        if (error is not null) ExceptionDispatchInfo.Throw(error);
        element = window!;
        return true;
    }

    public override long Skip(long count)
    {
        if (!IsSeekable || _isStarted) return base.Skip(count);
        long skipped = Math.Min(count, shape.CountOf(input.Extent - _start));
        _start += _input.Skip(Math.Min(shape.StartOf(skipped), input.Extent - _start));
        _given += skipped;
        _givenHere += skipped;
        return skipped;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator("Window");
        writer.WriteInt64(_given);
        _input.WritePosition(_start, writer);
    }

    public override void SaveAt(long taken, StateWriter writer)
    {
        writer.WriteOperator("Window");
        writer.WriteInt64(_given - _givenHere + taken);
        _input.WritePosition(Math.Min(shape.StartOf(taken), input.Extent), writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator("Window");
        _given = reader.ReadInt64(0, long.MaxValue, "the number of windows");
        _input.Restore(reader);
    }

    protected override void Dispose(bool disposing)
    {
        Drop(_count);
        _input.Dispose();
    }

    private ref Held At(int place)
    {
        int index = _head + place;
        return ref _held[index < _held.Length ? index : index - _held.Length];
    }

    private void Fill()
    {
        if (!_isStarted) _input.Start();
        _isStarted = true;
        while (!_isEnded && _count < _held.Length)
        {
            try
            {
                _isEnded = !_input.TryNext(out T? element);
                if (!_isEnded) At(_count++) = Hold(element!);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                At(_count++) = new Held(default!, e);
            }
        }
    }

    private Held Hold(T element)
    {
        if (_owns || !Ownership<T>.Exists || element is not IDisposable) return new Held(element, null);
        Ownership<T>.Release(element);
        return new Held(default!, new IngestException("Window", input.ElementIndex, input.Source, $"windows overlap, and the element is a {element.GetType().Name}, which is disposable: it can't belong to two of them"));
    }

    private Exception? FindError()
    {
        for (int place = 0; place < _count; place += shape.Stride)
            if (At(place).Error is { } error) return error;
        return null;
    }

    private ElementBatch<T> Take()
    {
        ElementBatch<T> window = ElementBatch<T>.Rent(memory, shape.Size);
        Span<T> room = window.Room;
        int taken = 0;
        for (int place = 0; place < _count; place += shape.Stride)
        {
            ref Held held = ref At(place);
            room[taken++] = held.Element;
            if (_owns) held = default;
        }
        window.SetCount(taken);
        return window;
    }

    private void Advance()
    {
        int dropped = Math.Min(shape.Shift, _count);
        Drop(dropped);
        _start += dropped;
        _input.OldestNeeded = _start;
        for (int left = shape.Shift - dropped; left > 0 && !_isEnded; left--)
        {
            try
            {
                _isEnded = _input.Skip(1) == 0;
                if (!_isEnded) _start++;
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                // It belongs to no window.
                _start++;
            }
        }
    }

    private void Drop(int count)
    {
        for (int i = 0; i < count; i++)
        {
            ref Held held = ref _held[_head];
            if (_owns && held.Error is null) Ownership<T>.Release(held.Element);
            held = default;
            _head = _head + 1 == _held.Length ? 0 : _head + 1;
        }
        _count -= count;
    }
}
