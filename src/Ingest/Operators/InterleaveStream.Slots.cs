using System.Runtime.ExceptionServices;

namespace DistTrain.Ingest;

/// <content>How slots are filled, saved and restored.</content>
internal sealed partial class InterleaveStream<TIn, TOut>
{
    // Position: how many elements the input had given before this slot's. Of a restored slot, which is older than the input now is, the input's state instead.
    private sealed record Slot(long Position, ElementStream<TOut> Stream, ReadOnlyMemory<byte>? InputState = null, Exception? Error = null);

    private string SlotName => $"{_options.Name} input";

    private void CreateStage()
    {
        if (!IsParallel || _stage is not null) return;
        _stage = new Stage(_options.Name, _options.Parallelism, BufferSize.Of((int)Math.Max(2, Math.Min(64, _options.BlockLength))), _options.CycleLength);
        _gate = new PullGate(_stage.Parallelism);
        _stage.Changed = () => _gate.Limit = _stage.Parallelism;
        _context.Meter.Add(_stage);
    }

    // Fills the current slot; null if there is nothing left to fill it with.
    private Slot? OpenNext()
    {
        if (!_standby.TryDequeue(out Slot? slot)) slot = OpenFromInput();
        if (slot is null) return null;
        if (slot.Error is null)
        {
            while (_slots.Count <= _current) _slots.Add(null);
            _slots[_current] = slot;
            _openCount++;
        }
        if (IsParallel) FillStandby();
        // An error waits until it is its dataset's turn: the order of what happens does not depend on what is opened ahead.
        if (slot.Error is not null) ExceptionDispatchInfo.Throw(slot.Error);
        return slot;
    }

    // As many wait as are read at a time, so that one that ends is followed by one that is there.
    private void FillStandby()
    {
        long wanted = (long)_options.CycleLength - _openCount + Math.Min(_stage!.Parallelism, _options.CycleLength);
        while (_standby.Count < wanted && OpenAhead() is { } slot)
        {
            (slot.Stream as AsyncStream<TOut, TOut>)?.Start();
            _standby.Enqueue(slot);
            // An input that fails again and again is not asked again before somebody has been told.
            if (slot.Error is not null) break;
        }
    }

    private Slot? OpenAhead()
    {
        long position = _input.Taken;
        try
        {
            return OpenFromInput();
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            return new Slot(position, EmptyStream<TOut>.Instance, Error: e);
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
            Dataset<TOut> opened = _open(element) ?? throw new InvalidOperationException("the function gave no dataset");
            // The epoch that the element is of, which need not be the one this stream was opened in.
            StreamContext epoch = _context.ForEpoch(EpochIndex.EpochOf(_context.Epoch, input.ElementIndex));
            return IsParallel ? OpenParallel(opened, epoch) : opened.Open(epoch);
        }
        catch (Exception e) when (IngestException.IsForeign(e, _context.Cancellation))
        {
            throw IngestException.Wrap(_options.Name, input.ElementIndex, input.Source, e, _context.Cancellation);
        }
        finally
        {
            Ownership<TIn>.Release(element);
        }
    }

    private AsyncStream<TOut, TOut> OpenParallel(Dataset<TOut> opened, StreamContext epoch)
    {
        StreamContext own = epoch.CreateStoppable();
        try
        {
            Stage inner = new(SlotName, Parallelism.Of(1), BufferSize.Of(_stage!.BufferSize), maxParallelism: 1) { Whole = _stage };
            return new AsyncStream<TOut, TOut>(own, opened.Open(own), IdentityFunction<TOut>.Instance, inner, new AsyncOptions(IsOrdered: true, _gate, MayBufferMore: true, _signal));
        }
        catch
        {
            own.Dispose();
            throw;
        }
    }

    private void SaveSlot(Slot? slot, StateWriter writer)
    {
        writer.WriteBoolean(slot is not null);
        if (slot is null) return;
        if (slot.InputState is { } state) writer.WriteBytes(state.Span);
        else
        {
            int place = writer.BeginBytes();
            _input.WritePosition(slot.Position, writer);
            writer.EndBytes(place);
        }
        // The same whether the slot has a thread or not.
        if (!IsParallel)
        {
            writer.WriteOperator(SlotName);
            AnchoredInput<TOut>.WriteNow(slot.Stream, writer);
        }
        else slot.Stream.Save(writer);
    }

    // The element the slot was opened with is read once more, from a second stream over the input.
    private void RestoreSlot(StateReader reader)
    {
        _slots.Add(null);
        if (!reader.ReadBoolean()) return;
        ReadOnlyMemory<byte> state = reader.ReadBytes();
        using AnchoredInput<TIn> input = new(_dataset.Open(_context));
        input.Restore(reader.Inner(state));
        if (!input.TryNext(out TIn? element)) throw StateReader.Error(0, $"{_options.Name}: an element that had been opened is not there any more: the data have changed");
        ElementStream<TOut> stream = OpenStream(element, input.Stream);
        // Whatever happens now, it is disposed with the others.
        _slots[^1] = new Slot(long.MaxValue, stream, state);
        _openCount++;
        if (!IsParallel)
        {
            reader.ReadOperator(SlotName);
            AnchoredInput<TOut>.RestoreNow(stream, reader);
        }
        else stream.Restore(reader);
    }
}
