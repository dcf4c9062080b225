using System.Diagnostics;
using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>One way to do a case. All ranks have the same contenders in the same order, and ask each for a turn at the same time.</summary>
public abstract class Contender(string implementation) : IDisposable
{
    /// <summary>As rows name it: <c>disttrain</c>, <c>bound</c> or a peer.</summary>
    public string Implementation => implementation;

    /// <summary><c>registered</c> or <c>ordinary</c>; null: the same for both.</summary>
    public string? Memory { get; init; }

    /// <summary>The algorithm's name; null where that is not ours to say.</summary>
    public string? Algorithm { get; init; }

    /// <summary>What carries the bytes.</summary>
    public required string? Transport { get; init; }

    /// <summary>Elements that were wrong in what was checked, on all ranks.</summary>
    public long WrongCount { get; protected set; }

    /// <summary>Seconds a call in each round that counted.</summary>
    public List<double> Seconds { get; } = [];

    /// <summary>True once it could not do its turn; it is not asked again.</summary>
    public bool HasFailed { get; protected set; }

    /// <summary>Seconds a call on the slowest rank, over so many calls; null: it can't.</summary>
    public abstract double? Take(int calls, int warmCalls);

    /// <summary>Frees what it holds; collective for ours.</summary>
    public virtual void Dispose() => GC.SuppressFinalize(this);

    /// <summary>
    /// What a rank says of its calls: the median, or where ranks outnumber cores the mean: there a rank that comes last finds all others waiting, and its own short calls say nothing.
    /// </summary>
    protected static double Typical(long[] ticks, int count, bool isCrowded)
    {
        Span<long> taken = ticks.AsSpan(0, count);
        if (isCrowded)
        {
            long sum = 0;
            foreach (long t in taken) sum += t;
            return (double)sum / count / Stopwatch.Frequency;
        }
        taken.Sort();
        return (taken[(count - 1) / 2] + taken[count / 2]) / 2.0 / Stopwatch.Frequency;
    }

    /// <summary>The slowest rank's figure.</summary>
    protected static double Slowest(RankWorld world, double seconds)
    {
        ArgumentNullException.ThrowIfNull(world);
        return world.Agree(seconds, ReduceOp.Max);
    }
}
