namespace DistTrain.Ingest;

/// <summary>What readers share that make one element of every so many of the input: output k is made of input elements k * size and on.</summary>
internal abstract class BatchingReader<TIn, TOut>(IndexedReader<TIn> input, int size, bool dropRemainder) : IndexedReader<TOut>
{
    public sealed override long Count => BatchingStream<TIn, TOut>.BatchCount(input.Count, size, dropRemainder);

    protected IndexedReader<TIn> Input => input;

    protected int Size => size;

    public sealed override SourceLocation SourceAt(long position) => input.SourceAt(position * size);

    public sealed override long ToGlobal(long position) => input.ToGlobal(Math.Min(position * size, input.Count));

    public sealed override long FromGlobal(long global) => BatchingStream<TIn, TOut>.BatchCount(input.FromGlobal(global), size, dropRemainder: false);

    public sealed override IndexLayout Layout => input.Layout.Local;

    protected override void Dispose(bool disposing)
    {
        input.Dispose();
        base.Dispose(disposing);
    }
}
