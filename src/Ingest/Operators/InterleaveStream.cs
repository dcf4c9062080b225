using System.Diagnostics.CodeAnalysis;
using System.Runtime.ExceptionServices;

namespace DistTrain.Ingest;

/// <summary>
/// A cycle of slots, each with the stream of one opened dataset; elements are taken from one slot after the other, a block at a time. A slot whose stream has ended
/// is filled with the next dataset when its turn comes again. In parallel, each stream runs ahead by itself, and the following datasets wait opened.
/// </summary>
internal sealed partial class InterleaveStream<TIn, TOut> : ElementStream<TOut>
{
    private readonly Dataset<TIn> _dataset;
    private readonly Func<TIn, Dataset<TOut>> _open;
    private readonly InterleaveOptions _options;
    private readonly StreamContext _context;
    private readonly AnchoredInput<TIn> _input;

    // Only slots whose turn has come once are in the list: the cycle may be longer than there are datasets.
    private readonly List<Slot?> _slots = [];
    private readonly Queue<Slot> _standby = new();
    private readonly ReadySignal? _signal;
    private readonly Func<bool> _isAnyReady;
    private CancellationTokenRegistration _wakeOnCancel;
    private Stage? _stage;
    private PullGate? _gate;
    private long _taken, _inBlock;
    private int _current, _openCount;
    private bool _isStarted, _isInputEnded, _isDisposed;

    internal InterleaveStream(Dataset<TIn> dataset, Func<TIn, Dataset<TOut>> open, InterleaveOptions options, StreamContext context)
    {
        (_dataset, _open, _options, _context) = (dataset, open, options, context);
        _input = new AnchoredInput<TIn>(dataset.Open(context), options.IsOrdered);
        _isAnyReady = () => FindReady() >= 0;
        if (!options.IsOrdered && IsParallel) _signal = new ReadySignal();
    }

    public override long ElementIndex => _taken - 1;

    public override SourceLocation Source => SlotAt(_current)?.Stream.Source ?? SourceLocation.None;

    private bool IsParallel => !_options.Parallelism.IsInline;

    private bool IsExhausted => _isInputEnded && _standby.Count == 0;

    public override bool TryNext([MaybeNullWhen(false)] out TOut element)
    {
        if (!_isStarted) Start();
        while (true)
        {
            _context.Cancellation.ThrowIfCancellationRequested();
            if (_inBlock >= _options.BlockLength) Advance();
            if (_signal is not null) MoveToReady();
            Slot? slot = SlotAt(_current) ?? OpenNext();
            if (slot is null)
            {
                if (_openCount == 0) break;
                Advance();
                continue;
            }
            if (TryTake(slot, out element)) return true;
            Close();
        }
        element = default;
        return false;
    }

    public override void Save(StateWriter writer)
    {
        if (!_options.IsOrdered) throw new NotSupportedException($"{_options.Name} with deterministic: false takes elements in an order that can't be found again, so that its position can't be saved");
        writer.WriteOperator(_options.Name);
        writer.WriteInt64(_options.CycleLength);
        writer.WriteInt64(_taken);
        writer.WriteInt64(_current);
        writer.WriteInt64(_inBlock);
        writer.WriteInt64(_slots.Count);
        foreach (Slot? slot in _slots) SaveSlot(slot, writer);
        // Datasets that only wait are opened anew.
        writer.WriteBoolean(IsExhausted);
        _input.WritePosition(_standby.TryPeek(out Slot? next) ? next.Position : _input.Taken, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(_options.Name);
        reader.ReadInt64(_options.CycleLength, _options.CycleLength, "the cycle length");
        _taken = reader.ReadInt64(0, long.MaxValue, "the number of elements taken");
        _current = (int)reader.ReadInt64(0, _options.CycleLength - 1, "the current slot");
        _inBlock = reader.ReadInt64(0, long.MaxValue, "the place in the block");
        long count = reader.ReadInt64(0, _options.CycleLength, "the number of slots");
        if (_current > count) throw StateReader.Error(0, $"{_options.Name}: slot {_current} is the current one of {count}: damaged");
        CreateStage();
        for (long i = 0; i < count; i++) RestoreSlot(reader);
        _isInputEnded = reader.ReadBoolean();
        _input.Restore(reader);
    }

    protected override void Dispose(bool disposing)
    {
        if (_isDisposed) return;
        _isDisposed = true;
        _context.Cancel();
        _wakeOnCancel.Dispose();
        try
        {
            Disposal.DisposeAll([.. _slots.Select(s => s?.Stream), .. _standby.Select(s => s.Stream), _input]);
        }
        finally
        {
            if (_stage is not null) _context.Meter.Remove(_stage);
            _context.Dispose();
        }
    }

    private void Start()
    {
        _isStarted = true;
        _input.Start();
        CreateStage();
        if (_signal is not null) _wakeOnCancel = _context.Cancellation.UnsafeRegister(static signal => ((ReadySignal)signal!).Set(), _signal);
        foreach (Slot? slot in _slots) (slot?.Stream as AsyncStream<TOut, TOut>)?.Start();
        if (IsParallel) FillStandby();
    }

    private Slot? SlotAt(int place) => place < _slots.Count ? _slots[place] : null;

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
        Slot slot = _slots[_current]!;
        _slots[_current] = null;
        _openCount--;
        Advance();
        slot.Stream.Dispose();
        if (IsParallel) FillStandby();
        ForgetInput();
    }

    private void Advance()
    {
        _inBlock = 0;
        _current++;
        if (_current >= _options.CycleLength || _current > _slots.Count || (_current == _slots.Count && IsExhausted)) _current = 0;
    }

    private bool IsReady(int place) => SlotAt(place) is { } slot ? (slot.Stream as AsyncStream<TOut, TOut>)!.IsAnythingReady : !IsExhausted;

    // The next slot, from the current one on, from which something can be taken without waiting; -1: none.
    private int FindReady()
    {
        int count = Math.Min(_options.CycleLength, _slots.Count + 1);
        for (int i = 0; i < count; i++)
        {
            int place = (_current + i) % count;
            if (IsReady(place)) return place;
        }
        return -1;
    }

    private void MoveToReady()
    {
        int place = FindReady();
        if (place < 0 && _openCount > 0)
        {
            _signal!.Wait(_isAnyReady, _context.Cancellation);
            place = FindReady();
        }
        if (place < 0 || place == _current) return;
        _current = place;
        _inBlock = 0;
    }

    private void ForgetInput()
    {
        long oldest = _standby.TryPeek(out Slot? next) ? next.Position : _input.Taken;
        foreach (Slot? slot in _slots) oldest = Math.Min(oldest, slot?.Position ?? oldest);
        _input.OldestNeeded = oldest;
    }
}
