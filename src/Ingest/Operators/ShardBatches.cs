using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// One replica's elements of every batch of all: of each <paramref name="batchSize"/> consecutive elements the consecutive ones that are the shard's. <c>Batch</c> of
    /// <see cref="BatchShard.Length"/> elements behind it makes the replica's parts of the batches that <c>Batch(batchSize)</c> alone would have made, so that training sees the same batches
    /// on any number of replicas. Where the last batch is too small for all, the last replicas have one batch less. With index access the other elements are never read, and a position
    /// behind a whole batch, saved by the first replica, can be gone on from by any number of replicas.
    /// </summary>
    /// <param name="batchSize">Elements of a batch of all replicas together, at least one for each.</param>
    /// <param name="shard">Which part.</param>
    /// <param name="dropRemainder">Leaves the last batch of all out if it is not full.</param>
    /// <exception cref="ArgumentException">A batch smaller than the number of replicas, or it is not known how many elements there are.</exception>
    public Dataset<T> ShardBatches(int batchSize, BatchShard shard, bool dropRemainder = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(batchSize);
        if (shard.Count == 0) throw new ArgumentException("an empty shard; make it by its constructor", nameof(shard));
        if (batchSize < shard.Count) throw new ArgumentException($"batches of {batchSize} can't be divided among {shard.Count} replicas: take at least as many elements a batch, or fewer replicas");
        if (!Cardinality.IsKnown) throw new ArgumentException($"the number of elements is {Cardinality}, so it is not known where the last batch is to be divided: tell it with AssertCardinality");
        return new ShardBatchesDataset<T>(this, batchSize, shard, dropRemainder);
    }
}

internal sealed class ShardBatchesDataset<T>(Dataset<T> input, int batchSize, BatchShard shard, bool dropRemainder) : Dataset<T>
{
    public override string Name => "ShardBatches";

    public override Cardinality Cardinality => input.Cardinality.Change(n => new BatchDivision(n, batchSize, shard, dropRemainder).Count);

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context) => HasIndex ? new IndexedStream<T>(this, context)
        : new ShardBatchesStream<T>(input.Open(context), new BatchDivision(input.Cardinality.Count, batchSize, shard, dropRemainder));

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => new ShardBatchesReader<T>(input.OpenIndexed(context), batchSize, shard, dropRemainder);
}

/// <summary>Which of all elements are a shard's: pure arithmetic.</summary>
internal readonly struct BatchDivision(long count, int batchSize, BatchShard shard, bool dropRemainder)
{
    private readonly long _count = dropRemainder ? count - (count % batchSize) : count;

    internal BatchShard Shard => shard;

    internal int BatchSize => batchSize;

    /// <summary>Own elements.</summary>
    internal long Count => (_count / batchSize * shard.Length(batchSize)) + shard.Length(_count % batchSize);

    /// <summary>The place among all elements of an own one.</summary>
    internal long Global(long position)
    {
        (long batch, long row) = Math.DivRem(position, shard.Length(batchSize));
        long first = batch * batchSize;
        return first + shard.Offset(Math.Min(batchSize, _count - first)) + row;
    }

    /// <summary>How many of all are done when so many own ones are: exact behind a whole batch.</summary>
    internal long ToGlobal(long position) => position >= Count ? _count : position % shard.Length(batchSize) == 0 ? position / shard.Length(batchSize) * batchSize : Global(position);

    /// <summary>Own elements before a place among all.</summary>
    internal long FromGlobal(long global)
    {
        (long batch, long rows) = Math.DivRem(Math.Min(global, _count), batchSize);
        long size = Math.Min(batchSize, _count - (batch * batchSize));
        return (batch * shard.Length(batchSize)) + Math.Clamp(rows - shard.Offset(size), 0, shard.Length(size));
    }
}

internal sealed class ShardBatchesReader<T>(IndexedReader<T> input, int batchSize, BatchShard shard, bool dropRemainder) : IndexedReader<T>
{
    private readonly BatchDivision _division = new(input.Count, batchSize, shard, dropRemainder);

    public override long Count => _division.Count;

    public override T Read(long position) => input.Read(_division.Global(position));

    public override long IndexAt(long position) => input.IndexAt(_division.Global(position));

    public override SourceLocation SourceAt(long position) => input.SourceAt(_division.Global(position));

    public override long ToGlobal(long position) => input.ToGlobal(_division.ToGlobal(position));

    public override long FromGlobal(long global) => _division.FromGlobal(input.FromGlobal(global));

    // Uneven parts do not make replicas come apart: each has its part of every batch.
    public override IndexLayout Layout => input.Layout is var all ? all with { WorldSize = checked(all.WorldSize * shard.Count) } : default;

    protected override void Dispose(bool disposing)
    {
        input.Dispose();
        base.Dispose(disposing);
    }
}

internal sealed class ShardBatchesStream<T>(ElementStream<T> input, BatchDivision division) : UnaryStream<T, T>("ShardBatches", input)
{
    private long _taken, _passed;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        element = default;
        if (_taken >= division.Count) return false;
        long ahead = division.Global(_taken) - _passed, before = ahead;
        bool isThere = Input.TryPass(ref ahead);
        _passed += before - ahead;
        if (!isThere) return false;
        // An own element that fails has had its turn.
        (_taken, _passed) = (_taken + 1, _passed + 1);
        if (Input.TryNext(out element)) return true;
        (_taken, _passed) = (_taken - 1, _passed - 1);
        return false;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(division.BatchSize);
        writer.WriteInt64(division.Shard.Count);
        writer.WriteInt64(_taken);
        writer.WriteInt64(_passed);
        Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        reader.ReadInt64(division.BatchSize, division.BatchSize, "the batch size");
        reader.ReadInt64(division.Shard.Count, division.Shard.Count, "the number of replicas (data without an index can't go on with another one)");
        _taken = reader.ReadInt64(0, division.Count, "the number of elements taken");
        _passed = reader.ReadInt64(0, long.MaxValue, "the number of elements passed");
        Input.Restore(reader);
    }
}
