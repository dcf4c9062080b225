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

        // The place last looked up, + 1, above where it leads: whoever reads an element often asks for its index too. In one number, for any thread may ask.
        private ulong _last;

        public override T Read(long position) => input.Read(At(position));

        public override long IndexAt(long position) => input.IndexAt(At(position));

        public override SourceLocation SourceAt(long position) => input.SourceAt(At(position));

        public override IndexLayout Layout => input.Layout.Local with { ShuffledCount = input.Count };

        private long At(long position)
        {
            ulong last = Volatile.Read(ref _last);
            if (last >> 32 == (ulong)position + 1) return (long)(last & uint.MaxValue);
            long index = _order[position];
            if (input.Count <= int.MaxValue) Volatile.Write(ref _last, ((ulong)position + 1) << 32 | (ulong)index);
            return index;
        }

        protected override void Dispose(bool disposing)
        {
            input.Dispose();
            base.Dispose(disposing);
        }
    }
}
