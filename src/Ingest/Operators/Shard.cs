using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// One rank's elements: those whose number leaves the remainder <paramref name="rank"/> when divided by <paramref name="worldSize"/>. With index access the others
    /// are never read, and a saved position can be gone on from with another number of ranks: take rank 0's state to all of them. That needs operators behind it that
    /// take as many elements on each rank (<c>Map</c>, <c>Batch</c>, <c>Repeat</c>, <c>Prefetch</c>, ...); <c>GlobalShuffle</c> belongs before it.
    /// </summary>
    public Dataset<T> Shard(int rank, int worldSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfNegative(rank);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(rank, worldSize);
        return new ShardDataset<T>(this, rank, worldSize);
    }
}

internal sealed class ShardDataset<T>(Dataset<T> input, int rank, int worldSize) : Dataset<T>
{
    public override string Name => "Shard";

    public override Cardinality Cardinality => input.Cardinality.Change(n => ShardReader<T>.CountOf(n, rank, worldSize));

    public override bool HasIndex => input.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context) =>
        HasIndex ? new IndexedStream<T>(this, context) : new ShardStream<T>(input.Open(context), rank, worldSize);

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => new ShardReader<T>(input.OpenIndexed(context), rank, worldSize);
}

internal sealed class ShardReader<T>(IndexedReader<T> input, int rank, int worldSize) : IndexedReader<T>
{
    public override long Count => CountOf(input.Count, rank, worldSize);

    public override T Read(long position) => input.Read(Own(position));

    public override long IndexAt(long position) => input.IndexAt(Own(position));

    public override SourceLocation SourceAt(long position) => input.SourceAt(Own(position));

    // Ranks go on together: when one has taken p elements, the first p * worldSize of all are done.
    public override long ToGlobal(long position) => input.ToGlobal(position > input.Count / worldSize ? input.Count : position * worldSize);

    public override long FromGlobal(long global) => CountOf(input.FromGlobal(global), rank, worldSize);

    public override IndexLayout Layout => input.Layout is var all ? all with { WorldSize = checked(all.WorldSize * worldSize), IsEven = all.IsEven && input.Count % worldSize == 0 } : default;

    internal static long CountOf(long count, int rank, int worldSize) => count <= rank ? 0 : ((count - 1 - rank) / worldSize) + 1;

    protected override void Dispose(bool disposing)
    {
        input.Dispose();
        base.Dispose(disposing);
    }

    private long Own(long position) => (position * worldSize) + rank;
}

internal sealed class ShardStream<T>(ElementStream<T> input, int rank, int worldSize) : UnaryStream<T, T>("Shard", input)
{
    // Elements to pass over before the next own one.
    private long _ahead = rank;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        element = default;
        if (!Input.TryPass(ref _ahead)) return false;
        // An own element that fails has had its turn.
        _ahead = worldSize - 1;
        if (Input.TryNext(out element)) return true;
        _ahead = 0;
        return false;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(worldSize);
        writer.WriteInt64(_ahead);
        Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        reader.ReadInt64(worldSize, worldSize, "the number of ranks (data without an index can't go on with another one)");
        _ahead = reader.ReadInt64(0, worldSize - 1, "the number of elements to pass over");
        Input.Restore(reader);
    }
}
