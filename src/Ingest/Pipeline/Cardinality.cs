namespace DistTrain.Ingest;

/// <summary>How many elements a dataset has: a number, endlessly many, or not known before it has been read.</summary>
public readonly record struct Cardinality
{
    // Unknown is the default value.
    private readonly long _code;

    private Cardinality(long code) => _code = code;

    /// <summary>Not known before the data are read.</summary>
    public static Cardinality Unknown => default;

    /// <summary>No end; also for more elements than 64 bits count.</summary>
    public static Cardinality Infinite => new(-1);

    /// <summary>Whether the number is known.</summary>
    public bool IsKnown => _code > 0;

    /// <summary>Whether there is no end.</summary>
    public bool IsInfinite => _code < 0;

    /// <summary>The number.</summary>
    /// <exception cref="InvalidOperationException">It is not known, or there is no end.</exception>
    public long Count => IsKnown ? _code - 1 : throw new InvalidOperationException($"the number of elements is {this}");

    /// <summary>A known number.</summary>
    public static Cardinality Of(long count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        return count == long.MaxValue ? Infinite : new Cardinality(count + 1);
    }

    /// <summary>So many and so many.</summary>
    internal static Cardinality Sum(long first, long second) => first > long.MaxValue - second ? Infinite : Of(first + second);

    /// <summary>So many so often.</summary>
    internal static Cardinality Product(long count, long times) => Math.BigMul(count, times) is var all && all >= long.MaxValue ? Infinite : Of((long)all);

    /// <summary>The number that <paramref name="change"/> makes of a known one; what is unknown or infinite stays so.</summary>
    internal Cardinality Change(Func<long, long> change) => IsKnown ? Of(change(Count)) : this;

    /// <summary>The same, unless endless: then it is not known where it ends.</summary>
    internal Cardinality OrUnknown() => IsInfinite ? this : Unknown;

    /// <summary>For messages.</summary>
    public override string ToString() => IsKnown ? $"{Count}" : IsInfinite ? "infinite" : "unknown";
}
