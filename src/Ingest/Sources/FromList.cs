namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <summary>Elements of a list, which is not copied and must not change. Elements that are disposable stay the list's: use <c>FromEnumerable</c> to hand them over.</summary>
    public static Dataset<T> FromList<T>(IReadOnlyList<T> elements)
    {
        ArgumentNullException.ThrowIfNull(elements);
        return new ListDataset<T>(elements);
    }
}

internal sealed class ListDataset<T>(IReadOnlyList<T> elements) : Dataset<T>
{
    private readonly T[]? _array = elements as T[];

    public override string Name => "FromList";

    public override Cardinality Cardinality => Cardinality.Of(elements.Count);

    public override bool HasIndex => true;

    protected internal override ElementStream<T> Open(StreamContext context) => new IndexedStream<T>(this, context);

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => _array is not null ? new ArrayReader(_array) : new ListReader(elements);

    private sealed class ListReader(IReadOnlyList<T> elements) : IndexedReader<T>
    {
        public override long Count => elements.Count;

        public override T Read(long position) => elements[(int)position];
    }

    private sealed class ArrayReader(T[] elements) : IndexedReader<T>
    {
        public override long Count => elements.Length;

        public override T Read(long position) => elements[position];

        public override void ReadMany(long position, Span<T> destination) => elements.AsSpan((int)position, destination.Length).CopyTo(destination);
    }
}
