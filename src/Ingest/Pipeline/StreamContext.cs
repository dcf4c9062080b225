namespace DistTrain.Ingest;

/// <summary>What the streams of one running pipeline share: options, cancellation, the epoch, and the meters of its background stages.</summary>
public sealed class StreamContext : IDisposable
{
    private readonly CancellationTokenSource? _source;

    private StreamContext(IngestOptions options, PipelineMeter meter, SlabPool slabs, long epoch, CancellationTokenSource? source, CancellationToken cancellation)
    {
        Options = options;
        Meter = meter;
        Slabs = slabs;
        Epoch = epoch;
        _source = source;
        Cancellation = cancellation;
    }

    /// <summary>How the pipeline runs.</summary>
    public IngestOptions Options { get; }

    /// <summary>Which pass over the data the streams opened with this context belong to.</summary>
    public long Epoch { get; }

    /// <summary>Set when the pipeline, or the part of it opened with this context, is cancelled or disposed. Every wait must end on it.</summary>
    public CancellationToken Cancellation { get; }

    /// <summary>Where batches are assembled.</summary>
    public IBatchMemory BatchMemory => Options.BatchMemory ?? PinnedBatchMemory.Shared;

    /// <summary>The stages' times and settings.</summary>
    internal PipelineMeter Meter { get; }

    /// <summary>The memory that sources read into: one pool for the whole pipeline.</summary>
    internal SlabPool Slabs { get; }

    internal static StreamContext CreateRoot(IngestOptions options, PipelineMeter meter, CancellationToken cancellation)
    {
        CancellationTokenSource source = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        return new StreamContext(options, meter, new SlabPool(options), 0, source, source.Token);
    }

    /// <summary>The same for another pass over the data.</summary>
    public StreamContext ForEpoch(long epoch) => new(Options, Meter, Slabs, epoch, null, Cancellation);

    /// <summary>The same with other batch memory: what an operator opens its input with that knows where its batches go.</summary>
    public StreamContext WithBatchMemory(IBatchMemory memory) => new(Options with { BatchMemory = memory }, Meter, Slabs, Epoch, null, Cancellation);

    /// <summary>The same for a part of the pipeline that can be stopped by itself: what an operator with threads opens its input with.</summary>
    public StreamContext CreateStoppable()
    {
        CancellationTokenSource source = CancellationTokenSource.CreateLinkedTokenSource(Cancellation);
        return new StreamContext(Options, Meter, Slabs, Epoch, source, source.Token);
    }

    /// <summary>Stops the part of the pipeline that was opened with this context.</summary>
    internal void Cancel()
    {
        try
        {
            _source?.Cancel();
        }
        catch (AggregateException)
        {
            // What functions have registered with ElementContext.Cancellation threw: the pipeline has to stop all the same.
        }
    }

    /// <summary>Frees what ties this context to the pipeline's cancellation. Call when no stream opened with it lives any more.</summary>
    public void Dispose() => _source?.Dispose();
}
