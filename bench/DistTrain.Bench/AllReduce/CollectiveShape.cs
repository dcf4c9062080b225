using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>
/// A verb as nccl-tests measures it: what BYTES counts, what each rank sends and gets, and what the links carry of it. Elements are f32.
/// </summary>
public sealed class CollectiveShape
{
    /// <summary>All, by the names that options, rows and peers have.</summary>
    public static IReadOnlyList<CollectiveShape> All { get; } =
    [
        new("all-reduce", CollectiveVerb.AllReduce, "2 (n - 1) / n", n => 2.0 * (n - 1) / n),
        new("reduce-scatter", CollectiveVerb.ReduceScatter, "(n - 1) / n", n => (n - 1.0) / n),
        new("all-gather", CollectiveVerb.AllGather, "(n - 1) / n", n => (n - 1.0) / n),
        new("broadcast", CollectiveVerb.Broadcast, "1", _ => 1),
        new("reduce", CollectiveVerb.Reduce, "1", _ => 1),
        new("all-to-all", CollectiveVerb.AllToAll, "(n - 1) / n", n => (n - 1.0) / n),
        new("send-recv", CollectiveVerb.Send, "1", _ => 1),
    ];

    private readonly Func<int, double> _factor;

    private CollectiveShape(string name, CollectiveVerb verb, string formula, Func<int, double> factor)
    {
        (Name, Verb, Formula) = (name, verb, $"bus bandwidth = bytes / time x {formula}");
        _factor = factor;
    }

    /// <summary>The name.</summary>
    public string Name { get; }

    /// <summary>What is called; <see cref="CollectiveVerb.Send"/>: each rank sends to the next and receives from the one before, both at once.</summary>
    public CollectiveVerb Verb { get; }

    /// <summary>How bus bandwidth follows from the time of n ranks.</summary>
    public string Formula { get; }

    /// <summary>The bench as rows name it.</summary>
    public string Bench => Verb == CollectiveVerb.AllReduce ? "allreduce" : Name;

    /// <summary>Whether the result comes where the data were.</summary>
    public bool IsInPlace => Verb is CollectiveVerb.AllReduce or CollectiveVerb.Broadcast or CollectiveVerb.Reduce;

    /// <summary>Bytes a second on the links.</summary>
    public double BusBandwidth(int ranks, long bytes, double seconds) => bytes / seconds * _factor(ranks);

    /// <summary>So many bytes, less what the ranks can't share evenly where each has a part; at least an element a part.</summary>
    public long RoundedBytes(long bytes, int ranks)
    {
        long unit = sizeof(float) * (IsInPlace || Verb == CollectiveVerb.Send ? 1 : ranks);
        return Math.Max(1, bytes / unit) * unit;
    }

    /// <summary>Elements that a rank writes before a call.</summary>
    public long SendCount(long bytes, int ranks) => bytes / sizeof(float) / (Verb == CollectiveVerb.AllGather ? ranks : 1);

    /// <summary>Elements of the buffer that the result comes to where it is another; else 0.</summary>
    public long ReceiveCount(long bytes, int ranks) => IsInPlace ? 0 : bytes / sizeof(float) / (Verb == CollectiveVerb.ReduceScatter ? ranks : 1);

    /// <summary>Where the elements that a rank must have after a call come from, part by part: from one rank's data or, where <c>Source</c> is -1, the sum of all ranks'.</summary>
    /// <param name="rank">Whose result.</param>
    /// <param name="ranks">How many there are.</param>
    /// <param name="bytes">As rounded.</param>
    public IEnumerable<(long Offset, long Count, int Source, long SourceOffset)> Expected(int rank, int ranks, long bytes)
    {
        long all = bytes / sizeof(float), part = all / ranks;
        return Verb switch
        {
            CollectiveVerb.AllReduce => [(0, all, -1, 0)],
            CollectiveVerb.Reduce => rank == 0 ? [(0, all, -1, 0)] : [],
            CollectiveVerb.Broadcast => [(0, all, 0, 0)],
            CollectiveVerb.ReduceScatter => [(0, part, -1, rank * part)],
            CollectiveVerb.AllGather => Enumerable.Range(0, ranks).Select(source => (source * part, part, source, 0L)),
            CollectiveVerb.AllToAll => Enumerable.Range(0, ranks).Select(source => (source * part, part, source, rank * part)),
            _ => [(0, all, (rank + ranks - 1) % ranks, 0)],
        };
    }
}
