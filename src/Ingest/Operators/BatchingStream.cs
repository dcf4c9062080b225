using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// What streams share that make one element of every so many of the input: output k is made of input elements k * size to (k + 1) * size - 1, so that the position
/// follows the input's. If one of them fails, the whole output does, and the next call gives the next one.
/// </summary>
internal abstract class BatchingStream<TIn, TOut>(string name, ElementStream<TIn> input, int size, bool dropRemainder) : UnaryStream<TIn, TOut>(name, input)
{
    private long _start;

    // Outputs before the next one, those that failed too.
    private long _next;

    public override long ElementIndex => _next - 1;

    protected int Size => size;

    public override bool IsSeekable => Input.IsSeekable;

    public override long Extent => BatchCount(Input.Extent, size, dropRemainder);

    public override bool TryNext([MaybeNullWhen(false)] out TOut element)
    {
        long index = _next++;
        if (TryAssemble(index, out element)) return true;
        _next = index;
        return false;
    }

    public override long Skip(long count)
    {
        long skipped = 0;
        if (IsSeekable) skipped = BatchCount(Input.Skip(ElementCount(count, size)), size, dropRemainder);
        else
            while (skipped < count && TrySkipOne()) skipped++;
        _next += skipped;
        return skipped;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_next);
        Input.Save(writer);
    }

    public override void SaveAt(long taken, StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_start + taken);
        Input.SaveAt(Math.Min(ElementCount(taken, size), Input.Extent), writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        _start = _next = reader.ReadInt64(0, long.MaxValue, "the number of batches");
        Input.Restore(reader);
    }

    /// <summary>How many batches so many elements make.</summary>
    internal static long BatchCount(long elementCount, int size, bool dropRemainder) =>
        (elementCount / size) + (dropRemainder || elementCount % size == 0 ? 0 : 1);

    /// <summary>How many elements so many batches take.</summary>
    internal static long ElementCount(long batchCount, int size) => batchCount > long.MaxValue / size ? long.MaxValue : batchCount * size;

    /// <summary>Whether so many elements make a batch.</summary>
    protected bool IsEnough(int count) => count == size || (count > 0 && !dropRemainder);

    /// <summary>Makes the output of the next elements. When it throws it has passed over all of them.</summary>
    /// <returns>False at the end, or if too few elements are left.</returns>
    protected abstract bool TryAssemble(long index, [MaybeNullWhen(false)] out TOut output);

    private bool TrySkipOne()
    {
        int passed = 0;
        try
        {
            while (passed < size && Input.Skip(1) > 0) passed++;
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            Input.PassOver(size - passed - 1);
            _next++;
            throw;
        }
        return IsEnough(passed);
    }
}
