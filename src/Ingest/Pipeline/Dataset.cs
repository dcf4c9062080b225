using System.Collections;

namespace DistTrain.Ingest;

/// <summary>
/// A recipe for elements: where they come from and what is done to them. Immutable, holds no file open, can be run any number of times and by several threads at
/// once; each run is a <see cref="DatasetIterator{T}"/>. Operators (<c>Map</c>, <c>Shuffle</c>, <c>Batch</c>, ...) give new recipes. The names are tf.data's.
/// </summary>
/// <typeparam name="T">The elements. One that is <see cref="IDisposable"/> belongs to whoever takes it; functions given to operators borrow it for the call.</typeparam>
public abstract partial class Dataset<T> : IEnumerable<T>
{
    /// <summary>How many elements one pass has, as far as can be told without reading data.</summary>
    public abstract Cardinality Cardinality { get; }

    /// <summary>Whether elements can be read by number, so that <c>GlobalShuffle</c>, <c>Shard</c>, <c>Skip</c> and resuming cost nothing.</summary>
    public virtual bool HasIndex => false;

    /// <summary>The operator or source, as it is called in the program; for messages.</summary>
    public abstract string Name { get; }

    /// <summary>Opens one pass. Opens no file and starts no thread before the first element is asked for.</summary>
    protected internal abstract ElementStream<T> Open(StreamContext context);

    /// <summary>Opens one pass as part of another pipeline: how operators of other assemblies open their inputs. Programs use <see cref="Iterate"/>.</summary>
    public ElementStream<T> OpenStream(StreamContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        return Open(context);
    }

    /// <summary>Opens the elements for reading by number; may read or build an index first.</summary>
    /// <exception cref="NotSupportedException">There is no index access: <see cref="HasIndex"/> is false.</exception>
    protected internal virtual IndexedReader<T> OpenIndexed(StreamContext context) => throw new NotSupportedException($"{Name} gives elements in order only, not by number");

    /// <summary>Starts a run.</summary>
    /// <param name="options">How it runs; null for the defaults.</param>
    /// <param name="cancellation">Ends every wait of the run with <see cref="OperationCanceledException"/>.</param>
    public DatasetIterator<T> Iterate(IngestOptions? options = null, CancellationToken cancellation = default) => new(this, options ?? new IngestOptions(), cancellation);

    /// <summary>Starts a run with the default options.</summary>
    public IEnumerator<T> GetEnumerator() => Iterate();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The dataset, checked to have index access.</summary>
    internal Dataset<T> RequireIndex(string operatorName) => HasIndex ? this : throw new ArgumentException(
        $"{operatorName} needs elements by number, {Name} gives them in order only: put {operatorName} before it, next to a source with an index (TFRecord, tar, fixed length, IDX, lists, Range)");
}

/// <summary>The sources: where datasets begin.</summary>
public static partial class Dataset
{
}
