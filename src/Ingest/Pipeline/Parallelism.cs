namespace DistTrain.Ingest;

/// <summary>How many threads work for an operator: a number, or <see cref="Auto"/>. The default value means one, on the caller's own thread.</summary>
public readonly record struct Parallelism
{
    private readonly int _degree;

    private Parallelism(int degree) => _degree = degree;

    /// <summary>Starts with one thread and is raised while the consumer waits for this operator; see <c>DatasetIterator.Explain</c>.</summary>
    public static Parallelism Auto => new(-1);

    /// <summary>No thread of its own: the operator works when it is asked, on the thread that asks.</summary>
    public static Parallelism Inline => default;

    /// <summary>Whether the number is left to the tuner.</summary>
    public bool IsAuto => _degree < 0;

    /// <summary>Whether the operator has no thread of its own.</summary>
    public bool IsInline => _degree == 0;

    /// <summary>Threads at the start.</summary>
    internal int Initial => Math.Max(1, _degree);

    /// <summary>A fixed number of background threads.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1.</exception>
    public static Parallelism Of(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(threads);
        return new Parallelism(threads);
    }

    /// <summary>A fixed number of background threads.</summary>
    public static implicit operator Parallelism(int threads) => Of(threads);

    /// <summary>For messages.</summary>
    public override string ToString() => IsAuto ? "auto" : IsInline ? "inline" : $"{_degree}";
}
