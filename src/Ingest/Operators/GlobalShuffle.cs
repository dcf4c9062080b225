namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// All elements in a random order, each once, without a buffer: the order is a computed permutation of the numbers of the elements, so that the whole set is
    /// shuffled in constant memory and the position is one number. Needs index access.
    /// </summary>
    /// <param name="seed">Names the orders.</param>
    /// <param name="reshuffle">Another order each epoch.</param>
    /// <exception cref="ArgumentException">There is no index access.</exception>
    public Dataset<T> GlobalShuffle(ulong seed, bool reshuffle = true) => new GlobalShuffleDataset<T>(RequireIndex("GlobalShuffle"), seed, reshuffle);
}

internal sealed class GlobalShuffleDataset<T>(Dataset<T> input, ulong seed, bool reshuffle) : Dataset<T>
{
    public override string Name => "GlobalShuffle";

    public override Cardinality Cardinality => input.Cardinality;

    public override bool HasIndex => true;

    protected internal override ElementStream<T> Open(StreamContext context) => new IndexedStream<T>(this, context);

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => new Reader(input.OpenIndexed(context), seed, reshuffle ? context.Epoch : 0);

    private sealed class Reader(IndexedReader<T> input, ulong seed, long epoch) : IndexedReader<T>
    {
        private readonly IndexPermutation _order = new(input.Count, seed, epoch);

        public override long Count => input.Count;

        public override T Read(long position) => input.Read(_order[position]);

        public override long IndexAt(long position) => input.IndexAt(_order[position]);

        public override SourceLocation SourceAt(long position) => input.SourceAt(_order[position]);

        public override IndexLayout Layout => input.Layout.Local with { ShuffledCount = input.Count };

        protected override void Dispose(bool disposing)
        {
            input.Dispose();
            base.Dispose(disposing);
        }
    }
}
