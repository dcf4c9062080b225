namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Batches of elements of about the same length, so that little is filled up: each element goes to the bucket of its length, and a bucket that is full is a batch. What
    /// is left in buckets at the end makes smaller batches, shortest first.
    /// </summary>
    /// <param name="lengthOf">An element's length. Borrows it.</param>
    /// <param name="boundaries">Rising lengths at which the next bucket begins.</param>
    /// <param name="batchSizes">Elements of a batch in each bucket: one more than there are boundaries.</param>
    /// <param name="dropRemainder">Leaves out what does not fill a batch.</param>
    /// <param name="codec">Writes held elements into saved states where the input has no index and the type is not known to the library.</param>
    public Dataset<ElementBatch<T>> BucketBySequenceLength(
        Func<T, int> lengthOf, ReadOnlySpan<int> boundaries, ReadOnlySpan<int> batchSizes, bool dropRemainder = false, ElementCodec<T>? codec = null) =>
        new BucketedDataset<T>(Bucket(lengthOf, boundaries, batchSizes, dropRemainder, codec));

    /// <summary>The same, each batch filled up to its longest elements.</summary>
    /// <param name="lengthOf">An element's length. Borrows it.</param>
    /// <param name="boundaries">Rising lengths at which the next bucket begins.</param>
    /// <param name="batchSizes">Rows of a batch in each bucket: one more than there are boundaries.</param>
    /// <param name="layout">The columns, padded ones made with <see cref="BatchLayout.WithPadded"/>.</param>
    /// <param name="measure">Tells how large an element is. Borrows it.</param>
    /// <param name="writer">Writes an element. Borrows it. As the measure, thread-safe if there is to be parallelism.</param>
    /// <param name="dropRemainder">Leaves out what does not fill a batch.</param>
    /// <param name="parallelism">Threads that write batches; inline by default.</param>
    /// <param name="codec">Writes held elements into saved states where the input has no index and the type is not known to the library.</param>
    public Dataset<TensorBatch> BucketBySequenceLength(
        Func<T, int> lengthOf, ReadOnlySpan<int> boundaries, ReadOnlySpan<int> batchSizes, BatchLayout layout, BatchMeasure<T> measure, BatchWriter<T> writer,
        bool dropRemainder = false, Parallelism parallelism = default, ElementCodec<T>? codec = null)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(measure);
        ArgumentNullException.ThrowIfNull(writer);
        RowAssembly<T> assembly = new("BucketBySequenceLength", layout, measure, new RowWriter<T>(writer, null));
        return new AssembledDataset<T>(Bucket(lengthOf, boundaries, batchSizes, dropRemainder, codec), assembly, parallelism);
    }

    private BucketDataset<T> Bucket(Func<T, int> lengthOf, ReadOnlySpan<int> boundaries, ReadOnlySpan<int> batchSizes, bool dropRemainder, ElementCodec<T>? codec)
    {
        ArgumentNullException.ThrowIfNull(lengthOf);
        if (batchSizes.Length != boundaries.Length + 1)
            throw new ArgumentException($"{boundaries.Length} boundaries make {boundaries.Length + 1} buckets, there are {batchSizes.Length} batch sizes", nameof(batchSizes));
        foreach (int size in batchSizes) ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size, nameof(batchSizes));
        for (int i = 1; i < boundaries.Length; i++)
            if (boundaries[i] <= boundaries[i - 1]) throw new ArgumentException($"boundary {i} is {boundaries[i]}, the one before it {boundaries[i - 1]}: boundaries must rise", nameof(boundaries));
        return new BucketDataset<T>(this, new BucketShape<T>(lengthOf, boundaries.ToArray(), batchSizes.ToArray(), dropRemainder), codec);
    }
}

/// <summary>Which elements make a batch together.</summary>
internal sealed record BucketShape<T>(Func<T, int> LengthOf, int[] Boundaries, int[] BatchSizes, bool DropRemainder)
{
    /// <summary>The bucket of a length: as many as there are boundaries at or below it.</summary>
    internal int BucketOf(int length)
    {
        int place = Array.BinarySearch(Boundaries, length);
        return place >= 0 ? place + 1 : ~place;
    }
}

/// <summary>Full buckets.</summary>
internal sealed class BucketDataset<T>(Dataset<T> input, BucketShape<T> shape, ElementCodec<T>? codec) : Dataset<ElementRun<T>>
{
    public override string Name => "BucketBySequenceLength";

    public override Cardinality Cardinality => input.Cardinality.OrUnknown();

    protected internal override ElementStream<ElementRun<T>> Open(StreamContext context) => new BucketStream<T>(input, context, shape, codec ?? ElementCodec<T>.Default);
}

/// <summary>Full buckets as batches of the elements themselves.</summary>
internal sealed class BucketedDataset<T>(BucketDataset<T> buckets) : Dataset<ElementBatch<T>>
{
    public override string Name => buckets.Name;

    public override Cardinality Cardinality => buckets.Cardinality;

    protected internal override ElementStream<ElementBatch<T>> Open(StreamContext context) =>
        new MapStream<ElementRun<T>, ElementBatch<T>>(Name, buckets.Open(context), new MoveFunction<T>(context.BatchMemory), context);
}

/// <summary>Makes a batch of elements that were gathered.</summary>
internal sealed class MoveFunction<T>(IBatchMemory memory) : ElementFunction<ElementRun<T>, ElementBatch<T>>
{
    internal override bool NeedsContext => false;

    internal override ElementBatch<T> Apply(ElementRun<T> element, in ElementContext context)
    {
        using (element)
        {
            ElementBatch<T> batch = ElementBatch<T>.Rent(memory, element.Count);
            batch.SetCount(element.Count);
            element.MoveTo(batch.Room);
            return batch;
        }
    }
}
