using System.Collections;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// One run of a pipeline. Takes elements, saves and restores the position, tells what its stages do. Not thread-safe. Disposing stops every thread of the run
/// and gives all memory back; elements already taken stay their owner's.
/// </summary>
/// <typeparam name="T">The elements; one that is <see cref="IDisposable"/> belongs to whoever took it.</typeparam>
public sealed class DatasetIterator<T> : IEnumerator<T>
{
    private readonly IngestOptions _options;
    private readonly StreamContext _context;
    private readonly ElementStream<T> _stream;
    private readonly StateWriter _writer = new();
    private readonly Lock _starting = new();
    private Tuner? _tuner;
    private T? _current;
    private long _lastEnd;
    private bool _isStarted, _isDisposed;

    private const string NotRestored = "it could not be restored";

    // Why the position is not to be relied on any more: null while it is.
    private string? _lost;

    internal DatasetIterator(Dataset<T> dataset, IngestOptions options, CancellationToken cancellation)
    {
        _options = options;
        Meter = new PipelineMeter(options.CollectStatistics, StartTuner);
        _context = StreamContext.CreateRoot(options, Meter, cancellation);
        try
        {
            _stream = dataset.Open(_context);
        }
        catch
        {
            _context.Dispose();
            throw;
        }
    }

    /// <summary>The element last taken.</summary>
    public T Current => _current!;

    object? IEnumerator.Current => _current;

    /// <summary>The index of the element last taken, see <see cref="ElementContext.Index"/>; -1 before the first.</summary>
    public long CurrentIndex => EpochIndex.IndexOf(_stream.ElementIndex);

    /// <summary>Where the element last taken was read, where that is known.</summary>
    public SourceLocation CurrentSource => _stream.Source;

    internal PipelineMeter Meter { get; }

    internal SlabPool Slabs => _context.Slabs;

    /// <summary>Takes the next element; blocks until there is one.</summary>
    /// <returns>False at the end.</returns>
    /// <exception cref="IngestException">A function of the user's failed, or an operator did; asking again gives the next element.</exception>
    /// <exception cref="DataFormatException">A file is damaged.</exception>
    /// <exception cref="OperationCanceledException">The run was cancelled.</exception>
    public bool TryNext([MaybeNullWhen(false)] out T element)
    {
        Begin();
        try
        {
            return Meter.IsMeasured ? TryNextMeasured(out element) : _stream.TryNext(out element);
        }
        catch (OperationCanceledException)
        {
            _lost = "it was cancelled, perhaps in the middle of an element";
            throw;
        }
    }

    /// <summary>Passes over elements as if they had been taken and disposed; costs nothing where the position follows from the count and none has been taken yet.</summary>
    /// <returns>How many there were, fewer only at the end.</returns>
    public long Skip(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        Begin();
        return _stream.Skip(count);
    }

    /// <summary>What each background operator does at the moment, the consumer's side first. From any thread.</summary>
    public IReadOnlyList<StageStatistics> Stages => [.. Meter.Snapshot().Select(s => new StageStatistics(s.Name, s.Parallelism, s.BufferSize, s.Buffered, s.ElementCount,
        Stopwatch.GetElapsedTime(0, (long)(s.SerialTicks + s.ParallelTicks)), s.ElementBytes, Stopwatch.GetElapsedTime(0, s.WaitTicks)))];

    /// <summary>
    /// The run told to people: each background operator's threads, buffer and time; what the tuner has changed and why it does not go on; where a cache would pay.
    /// From any thread.
    /// </summary>
    public string Explain() => Explanation.Write(Meter, Volatile.Read(ref _tuner), _options);

    /// <inheritdoc cref="TryNext"/>
    public bool MoveNext() => TryNext(out _current);

    /// <summary>Takes down the position behind the element last taken. The run goes on undisturbed.</summary>
    /// <exception cref="NotSupportedException">An operator can't save: one with <c>deterministic: false</c>.</exception>
    /// <exception cref="InvalidOperationException">The run was cancelled, or could not be restored: save before.</exception>
    public IteratorState Save()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_lost is not null) throw new InvalidOperationException($"the run's position can't be relied on: {_lost}");
        _writer.Clear();
        _stream.Save(_writer);
        return new IteratorState(_writer.Written.Span);
    }

    /// <summary>Goes to a saved position: the next element is the one that followed when it was saved. Only before the first element.</summary>
    /// <exception cref="InvalidOperationException">Elements have been taken already.</exception>
    /// <exception cref="DataFormatException">The state is damaged, or of another pipeline.</exception>
    public void Restore(IteratorState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_isStarted) throw new InvalidOperationException("elements have been taken already: restore into a new iterator");
        _isStarted = true;
        StateReader reader = new(state.Content);
        _lost = NotRestored;
        _stream.Restore(reader);
        if (!reader.IsAtEnd) throw StateReader.Error(0, "it holds more than this pipeline has: it belongs to another one");
        _lost = null;
    }

    /// <summary>Not supported: start a new run instead.</summary>
    void IEnumerator.Reset() => throw new NotSupportedException("start a new run with Dataset.Iterate");

    /// <summary>Stops the run.</summary>
    public void Dispose()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        try
        {
            _context.Cancel();
            lock (_starting) _tuner?.Dispose();
            _stream.Dispose();
        }
        finally
        {
            _context.Slabs.Dispose();
            _context.Dispose();
        }
    }

    // Elements of a run that was restored in part would be neither the saved run's nor a new one's.
    private void Begin()
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (_isStarted && _lost == NotRestored) throw new InvalidOperationException($"the run can't give elements: {_lost}; start a new one");
        _isStarted = true;
    }

    private bool TryNextMeasured([MaybeNullWhen(false)] out T element)
    {
        long began = Stopwatch.GetTimestamp();
        bool isThere = _stream.TryNext(out element);
        long ended = Stopwatch.GetTimestamp();
        if (isThere) Meter.RecordElement(_lastEnd == 0 ? 0 : began - _lastEnd, ended - began);
        _lastEnd = ended;
        return isThere;
    }

    // A stage may appear at any time, with a dataset opened inside an Interleave.
    private void StartTuner()
    {
        lock (_starting)
            if (!_isDisposed) _tuner ??= new Tuner(Meter, _options);
    }
}
