using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// A cycle of slots, each with the stream of one opened dataset; elements are taken from one slot after the other, a block at a time. A slot whose stream has ended
/// is filled with the next dataset when its turn comes again. In parallel, each stream runs ahead by itself, and the following datasets wait opened.
/// </summary>
internal sealed class InterleaveStream<TIn, TOut>(Dataset<TIn> dataset, Func<TIn, Dataset<TOut>> open, InterleaveOptions options, StreamContext context) : ElementStream<TOut>
{
    private readonly Slot?[] _slots = new Slot?[options.CycleLength];
    private readonly Queue<Slot> _standby = new();
    private readonly AnchoredInput<TIn> _input = new(dataset.Open(context));
    private Stage? _stage;
    private PullGate? _gate;
    private long _taken, _inBlock;
    private int _current;
    private bool _isStarted, _isInputEnded, _isDisposed;

    // Position: how many elements the input had given before this slot's. Of a restored slot, which is older than the input now is, the input's state instead.
    private sealed record Slot(long Position, ElementStream<TOut> Stream, ReadOnlyMemory<byte>? InputState = null);

    public override long ElementIndex => _taken - 1;

    public override SourceLocation Source => _slots[_current]?.Stream.Source ?? SourceLocation.None;

    private bool IsParallel => !options.Parallelism.IsInline;

    public override bool TryNext([MaybeNullWhen(false)] out TOut element)
    {
        if (!_isStarted) Start();
        context.Cancellation.ThrowIfCancellationRequested();
        for (int empty = 0; empty < _slots.Length;)
        {
            if (_inBlock >= options.BlockLength || (!options.IsOrdered && !IsReady(_current) && TryFindReady())) Advance();
            Slot? slot = _slots[_current] ??= OpenNext();
            if (slot is null)
            {
                empty++;
                Advance();
                continue;
            }
            empty = 0;
            if (TryTake(slot, out element)) return true;
            Close();
        }
        element = default;
        return false;
    }

    public override void Save(StateWriter writer)
    {
        if (!options.IsOrdered) throw new NotSupportedException($"{options.Name} with deterministic: false takes elements in an order that can't be found again, so that its position can't be saved");
        writer.WriteOperator(options.Name);
        writer.WriteInt64(_taken);
        writer.WriteInt64(_current);
        writer.WriteInt64(_inBlock);
        writer.WriteInt64(_slots.Length);
        foreach (Slot? slot in _slots)
        {
            writer.WriteBoolean(slot is not null);
            if (slot is null) continue;
            writer.WriteBytes((slot.InputState ?? SaveInput(slot.Position)).Span);
            slot.Stream.Save(writer);
        }
        // Datasets that only wait are opened anew.
        bool isEnded = _isInputEnded && _standby.Count == 0;
        writer.WriteBoolean(isEnded);
        _input.WritePosition(_standby.TryPeek(out Slot? next) ? next.Position : _input.Taken, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(options.Name);
        _taken = reader.ReadInt64(0, long.MaxValue, "the number of elements taken");
        _current = (int)reader.ReadInt64(0, _slots.Length - 1, "the current slot");
        _inBlock = reader.ReadInt64(0, long.MaxValue, "the place in the block");
        reader.ReadInt64(_slots.Length, _slots.Length, "the cycle length");
        CreateStage();
        for (int i = 0; i < _slots.Length; i++)
            if (reader.ReadBoolean()) _slots[i] = RestoreSlot(reader);
        _isInputEnded = reader.ReadBoolean();
        _input.Restore(reader);
    }

    protected override void Dispose(bool disposing)
    {
        if (_isDisposed) return;
        _isDisposed = true;
        context.Cancel();
        foreach (Slot? slot in _slots) slot?.Stream.Dispose();
        foreach (Slot slot in _standby) slot.Stream.Dispose();
        _input.Dispose();
        if (_stage is not null) context.Meter.Remove(_stage);
        context.Dispose();
    }

    private void Start()
    {
        _isStarted = true;
        _input.Start();
        CreateStage();
        foreach (Slot? slot in _slots) (slot?.Stream as AsyncStream<TOut, TOut>)?.Start();
        if (IsParallel) FillStandby();
    }

    private void CreateStage()
    {
        if (!IsParallel || _stage is not null) return;
        _stage = new Stage(options.Name, options.Parallelism, BufferSize.Of((int)Math.Max(2, Math.Min(64, options.BlockLength))), options.CycleLength);
        _gate = new PullGate(_stage.Parallelism);
        _stage.Changed = () => _gate.Limit = _stage.Parallelism;
        context.Meter.Add(_stage);
    }

    private bool TryTake(Slot slot, [MaybeNullWhen(false)] out TOut element)
    {
        try
        {
            if (!slot.Stream.TryNext(out element)) return false;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // It has had its turn.
            _taken++;
            _inBlock++;
            throw;
        }
        _taken++;
        _inBlock++;
        if (_stage is not null) _stage.ElementCount++;
        return true;
    }

    private void Close()
    {
        _slots[_current]!.Stream.Dispose();
        _slots[_current] = null;
        Advance();
        if (IsParallel) FillStandby();
        ForgetInput();
    }

    private void Advance()
    {
        _inBlock = 0;
        _current = (_current + 1) % _slots.Length;
    }

    private bool IsReady(int place) => _slots[place] is not { Stream: AsyncStream<TOut, TOut> stream } || stream.IsAnythingReady;

    private bool TryFindReady()
    {
        for (int i = 1; i < _slots.Length; i++)
        {
            int place = (_current + i) % _slots.Length;
            if (_slots[place] is null || !IsReady(place)) continue;
            _current = (place + _slots.Length - 1) % _slots.Length;
            return true;
        }
        return false;
    }

    private Slot? OpenNext()
    {
        if (!_standby.TryDequeue(out Slot? slot)) slot = OpenFromInput();
        if (IsParallel) FillStandby();
        return slot;
    }

    // As many wait as are read at a time, so that one that ends is followed by one that is there.
    private void FillStandby()
    {
        int empty = _slots.Count(slot => slot is null);
        int wanted = empty + Math.Min(_stage!.Parallelism, _slots.Length);
        while (_standby.Count < wanted && OpenFromInput() is { } slot)
        {
            (slot.Stream as AsyncStream<TOut, TOut>)!.Start();
            _standby.Enqueue(slot);
        }
    }

    private Slot? OpenFromInput()
    {
        if (_isInputEnded) return null;
        long position = _input.Taken;
        if (_input.TryNext(out TIn? element)) return new Slot(position, OpenStream(element, _input.Stream));
        _isInputEnded = true;
        return null;
    }

    private ElementStream<TOut> OpenStream(TIn element, ElementStream<TIn> input)
    {
        try
        {
            Dataset<TOut> opened = open(element) ?? throw new InvalidOperationException("the function gave no dataset");
            if (!IsParallel) return opened.Open(context);
            StreamContext own = context.CreateStoppable();
            Stage inner = new($"{options.Name} input", Parallelism.Of(1), BufferSize.Of(_stage!.BufferSize), maxParallelism: 1) { Whole = _stage };
            return new AsyncStream<TOut, TOut>(own, opened.Open(own), IdentityFunction<TOut>.Instance, inner, new AsyncOptions(IsOrdered: true, _gate));
        }
        catch (Exception e) when (e is not (IngestException or OperationCanceledException))
        {
            throw IngestException.Wrap(options.Name, input.ElementIndex, input.Source, e);
        }
        finally
        {
            Ownership<TIn>.Release(element);
        }
    }

    // The element the slot was opened with is read once more, from a second stream over the input.
    private Slot RestoreSlot(StateReader reader)
    {
        ReadOnlyMemory<byte> state = reader.ReadBytes();
        using AnchoredInput<TIn> input = new(dataset.Open(context));
        input.Restore(new StateReader(state));
        if (!input.TryNext(out TIn? element)) throw StateReader.Error(0, $"{options.Name}: an element that had been opened is not there any more: the data have changed");
        ElementStream<TOut> stream = OpenStream(element, input.Stream);
        stream.Restore(reader);
        return new Slot(long.MaxValue, stream, state);
    }

    private ReadOnlyMemory<byte> SaveInput(long position)
    {
        StateWriter writer = new();
        _input.WritePosition(position, writer);
        return writer.Written;
    }

    private void ForgetInput()
    {
        long oldest = _standby.TryPeek(out Slot? next) ? next.Position : _input.Taken;
        foreach (Slot? slot in _slots) oldest = Math.Min(oldest, slot?.Position ?? oldest);
        _input.OldestNeeded = oldest;
    }
}
