using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// What passed one place of a pipeline: given to <see cref="Dataset{T}.Statistics"/>, may be read at any time from any thread. Shared by several runs, it adds them up.
/// </summary>
public sealed class StreamStatistics
{
    private long _elements, _bytes, _errors, _produceTicks, _consumeTicks;

    /// <summary>Elements that came by.</summary>
    public long ElementCount => Interlocked.Read(ref _elements);

    /// <summary>Their bytes, as well as can be told without walking through objects.</summary>
    public long ByteCount => Interlocked.Read(ref _bytes);

    /// <summary>Elements that failed.</summary>
    public long ErrorCount => Interlocked.Read(ref _errors);

    /// <summary>How long the part before this place took to give elements: what the part behind it waited.</summary>
    public TimeSpan ProducerTime => Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _produceTicks));

    /// <summary>How long the part behind this place took between asking for elements.</summary>
    public TimeSpan ConsumerTime => Stopwatch.GetElapsedTime(0, Interlocked.Read(ref _consumeTicks));

    /// <summary>For people.</summary>
    public override string ToString() => $"{ElementCount} elements, {ByteCount} bytes, {ErrorCount} errors, {ProducerTime.TotalMilliseconds:0.###} ms to give them, {ConsumerTime.TotalMilliseconds:0.###} ms between";

    internal void Add(long bytes, long produceTicks, long consumeTicks)
    {
        Interlocked.Increment(ref _elements);
        Interlocked.Add(ref _bytes, bytes);
        AddTime(produceTicks, consumeTicks);
    }

    internal void AddError(long produceTicks, long consumeTicks)
    {
        Interlocked.Increment(ref _errors);
        AddTime(produceTicks, consumeTicks);
    }

    private void AddTime(long produceTicks, long consumeTicks)
    {
        Interlocked.Add(ref _produceTicks, produceTicks);
        Interlocked.Add(ref _consumeTicks, consumeTicks);
    }
}

public abstract partial class Dataset<T>
{
    /// <summary>Counts and times what passes this place.</summary>
    public Dataset<T> Statistics(StreamStatistics statistics)
    {
        ArgumentNullException.ThrowIfNull(statistics);
        return new StatisticsDataset<T>(this, statistics);
    }
}

internal sealed class StatisticsDataset<T>(Dataset<T> input, StreamStatistics statistics) : Dataset<T>
{
    public override string Name => "Statistics";

    public override Cardinality Cardinality => input.Cardinality;

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context) => new StatisticsStream<T>(input.Open(context), statistics);

    // What is read by number is not counted: there is no one place that it passes.
    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => input.OpenIndexed(context);
}

internal sealed class StatisticsStream<T>(ElementStream<T> input, StreamStatistics statistics) : UnaryStream<T, T>("Statistics", input)
{
    private long _lastEnd;

    public override bool IsSeekable => Input.IsSeekable;

    public override long Extent => Input.Extent;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        long began = Stopwatch.GetTimestamp(), consumed = _lastEnd == 0 ? 0 : began - _lastEnd;
        try
        {
            if (!Input.TryNext(out element)) return false;
            statistics.Add(ElementSize<T>.Of(element), Stopwatch.GetTimestamp() - began, consumed);
            return true;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            statistics.AddError(Stopwatch.GetTimestamp() - began, consumed);
            throw;
        }
        finally
        {
            _lastEnd = Stopwatch.GetTimestamp();
        }
    }

    public override long Skip(long count) => Input.Skip(count);

    public override void SaveAt(long taken, StateWriter writer)
    {
        writer.WriteOperator(Name);
        Input.SaveAt(taken, writer);
    }
}
