using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// What passed one place of a pipeline: given to <see cref="Dataset{T}.Statistics"/>, may be read at any time from any thread. Shared by several runs, it adds them up.
/// </summary>
public sealed class StreamStatistics
{
    // Each stream counts by itself, without a lock; what streams that are gone had counted is kept added up.
    private readonly List<Counts> _running = [];
    private readonly Counts _ended = new();

    /// <summary>Elements that came by.</summary>
    public long ElementCount => Sum(static counts => Volatile.Read(ref counts.Elements));

    /// <summary>Their bytes, as well as can be told without walking through objects.</summary>
    public long ByteCount => Sum(static counts => Volatile.Read(ref counts.Bytes));

    /// <summary>Elements that failed.</summary>
    public long ErrorCount => Sum(static counts => Volatile.Read(ref counts.Errors));

    /// <summary>How long the part before this place took to give elements: what the part behind it waited.</summary>
    public TimeSpan ProducerTime => Stopwatch.GetElapsedTime(0, Sum(static counts => Volatile.Read(ref counts.ProduceTicks)));

    /// <summary>How long the part behind this place took between asking for elements.</summary>
    public TimeSpan ConsumerTime => Stopwatch.GetElapsedTime(0, Sum(static counts => Volatile.Read(ref counts.ConsumeTicks)));

    /// <summary>For people.</summary>
    public override string ToString() => $"{ElementCount} elements, {ByteCount} bytes, {ErrorCount} errors, {ProducerTime.TotalMilliseconds:0.###} ms to give them, {ConsumerTime.TotalMilliseconds:0.###} ms between";

    /// <summary>For one stream, until it is ended.</summary>
    internal Counts Begin()
    {
        Counts counts = new();
        lock (_running) _running.Add(counts);
        return counts;
    }

    internal void End(Counts counts)
    {
        lock (_running)
        {
            if (!_running.Remove(counts)) return;
            _ended.Elements += counts.Elements;
            _ended.Bytes += counts.Bytes;
            _ended.Errors += counts.Errors;
            _ended.ProduceTicks += counts.ProduceTicks;
            _ended.ConsumeTicks += counts.ConsumeTicks;
        }
    }

    private long Sum(Func<Counts, long> read)
    {
        lock (_running) return read(_ended) + _running.Sum(read);
    }

    /// <summary>Written by one thread, read by any.</summary>
    internal sealed class Counts
    {
        internal long Elements, Bytes, Errors, ProduceTicks, ConsumeTicks;

        internal void Add(long bytes, long produceTicks, long consumeTicks)
        {
            Volatile.Write(ref Elements, Elements + 1);
            Volatile.Write(ref Bytes, Bytes + bytes);
            AddTime(produceTicks, consumeTicks);
        }

        internal void AddError(long produceTicks, long consumeTicks)
        {
            Volatile.Write(ref Errors, Errors + 1);
            AddTime(produceTicks, consumeTicks);
        }

        private void AddTime(long produceTicks, long consumeTicks)
        {
            Volatile.Write(ref ProduceTicks, ProduceTicks + produceTicks);
            Volatile.Write(ref ConsumeTicks, ConsumeTicks + consumeTicks);
        }
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
    private readonly StreamStatistics.Counts _counts = statistics.Begin();
    private long _lastEnd;

    public override bool IsSeekable => Input.IsSeekable;

    public override long Extent => Input.Extent;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        long began = Stopwatch.GetTimestamp(), consumed = _lastEnd == 0 ? 0 : began - _lastEnd;
        try
        {
            bool isThere = Input.TryNext(out element);
            _lastEnd = Stopwatch.GetTimestamp();
            if (isThere) _counts.Add(ElementSize<T>.Of(element!), _lastEnd - began, consumed);
            return isThere;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            _lastEnd = Stopwatch.GetTimestamp();
            _counts.AddError(_lastEnd - began, consumed);
            throw;
        }
    }

    public override long Skip(long count) => Input.Skip(count);

    public override void SaveAt(long taken, StateWriter writer)
    {
        writer.WriteOperator(Name);
        Input.SaveAt(taken, writer);
    }

    protected override void Dispose(bool disposing)
    {
        statistics.End(_counts);
        base.Dispose(disposing);
    }
}
