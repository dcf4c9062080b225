using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Applies a function to each element. With a degree of <paramref name="parallelism"/> it runs on as many threads of the pipeline's own, and must then be
    /// thread-safe; the order of the elements stays, unless given up.
    /// </summary>
    /// <param name="map">
    /// Borrows its argument: what of it is disposable (itself, or parts of a pair or triple) is disposed afterwards, unless it is also the result or a part of such a result.
    /// </param>
    /// <param name="parallelism">Threads; inline by default.</param>
    /// <param name="deterministic">False delivers elements as they are ready: faster where their costs differ much, but not repeatable and not resumable.</param>
    public Dataset<TOut> Map<TOut>(Func<T, TOut> map, Parallelism parallelism = default, bool deterministic = true)
    {
        ArgumentNullException.ThrowIfNull(map);
        PlainFunction<T, TOut> function = new(map);
        return new MapDataset<T, TOut>("Map", this, (_, _) => function, parallelism, deterministic);
    }

    /// <summary>The same for a function that wants to know the element's index and epoch, or random numbers keyed by them.</summary>
    /// <inheritdoc cref="Map{TOut}(Func{T, TOut}, Parallelism, bool)"/>
    public Dataset<TOut> Map<TOut>(Func<T, ElementContext, TOut> map, Parallelism parallelism = default, bool deterministic = true)
    {
        ArgumentNullException.ThrowIfNull(map);
        ContextFunction<T, TOut> function = new(map);
        return new MapDataset<T, TOut>("Map", this, (_, _) => function, parallelism, deterministic);
    }
}

/// <summary>One element of each of the input: position, index and state are the input's.</summary>
internal sealed class MapDataset<TIn, TOut>(string name, Dataset<TIn> input, ElementFunctionFactory<TIn, TOut> functions, Parallelism parallelism, bool isOrdered) : Dataset<TOut>
{
    public override string Name => name;

    public override Cardinality Cardinality => input.Cardinality;

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<TOut> Open(StreamContext context)
    {
        if (parallelism.IsInline) return new MapStream<TIn, TOut>(name, input.Open(context), functions(context, false), context);
        StreamContext own = context.CreateStoppable();
        ElementFunction<TIn, TOut> function = functions(own, true);
        Stage stage = new(name, parallelism, BufferSize.Of(1), AsyncStream<TIn, TOut>.MaxParallelism)
        {
            BufferPerThread = 2,
            IsRandom = function.NeedsContext,
            EpochElements = Cardinality,
        };
        return new AsyncStream<TIn, TOut>(own, input.Open(own), function, stage, new AsyncOptions(isOrdered, MayBufferMore: true));
    }

    protected internal override IndexedReader<TOut> OpenIndexed(StreamContext context) =>
        new MapReader<TIn, TOut>(name, input.OpenIndexed(context), functions(context, true), context);
}

internal sealed class MapStream<TIn, TOut>(string name, ElementStream<TIn> input, ElementFunction<TIn, TOut> function, StreamContext context) : UnaryStream<TIn, TOut>(name, input)
{
    private readonly bool _needsContext = function.NeedsContext;

    public override bool IsSeekable => Input.IsSeekable;

    public override long Extent => Input.Extent;

    public override bool TryNext([MaybeNullWhen(false)] out TOut element)
    {
        if (!Input.TryNext(out TIn? taken))
        {
            element = default;
            return false;
        }
        try
        {
            element = function.Apply(taken, _needsContext ? new ElementContext(context.Epoch, Input.ElementIndex, context.Cancellation) : default);
            return true;
        }
        catch (Exception e) when (!function.Explains(e) && IngestException.IsForeign(e, context.Cancellation))
        {
            throw IngestException.Wrap(Name, Input.ElementIndex, Input.Source, e, context.Cancellation);
        }
    }

    public override long Skip(long count) => Input.Skip(count);

    // The same with and without threads, so that one can be gone on with as the other.
    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        AnchoredInput<TIn>.WriteNow(Input, writer);
    }

    public override void SaveAt(long taken, StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteBoolean(true);
        Input.SaveAt(taken, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        AnchoredInput<TIn>.RestoreNow(Input, reader);
    }
}

internal sealed class MapReader<TIn, TOut>(string name, IndexedReader<TIn> input, ElementFunction<TIn, TOut> function, StreamContext context) : IndexedReader<TOut>
{
    private readonly bool _needsContext = function.NeedsContext;

    public override long Count => input.Count;

    public override TOut Read(long position)
    {
        TIn taken = input.Read(position);
        try
        {
            return function.Apply(taken, _needsContext ? new ElementContext(context.Epoch, input.IndexAt(position), context.Cancellation) : default);
        }
        catch (Exception e) when (!function.Explains(e) && IngestException.IsForeign(e, context.Cancellation))
        {
            throw IngestException.Wrap(name, input.IndexAt(position), input.SourceAt(position), e, context.Cancellation);
        }
    }

    public override long IndexAt(long position) => input.IndexAt(position);

    public override SourceLocation SourceAt(long position) => input.SourceAt(position);

    public override long ToGlobal(long position) => input.ToGlobal(position);

    public override long FromGlobal(long global) => input.FromGlobal(global);

    public override IndexLayout Layout => input.Layout;

    protected override void Dispose(bool disposing)
    {
        input.Dispose();
        base.Dispose(disposing);
    }
}
