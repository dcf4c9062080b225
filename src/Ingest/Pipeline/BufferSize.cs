namespace DistTrain.Ingest;

/// <summary>How many elements an operator may hold ready: a number, or <see cref="Auto"/>, which is the default value.</summary>
public readonly record struct BufferSize
{
    private readonly int _count;

    private BufferSize(int count) => _count = count;

    /// <summary>Starts at 2 and is doubled while the consumer finds it empty, under the pipeline's memory budget.</summary>
    public static BufferSize Auto => default;

    /// <summary>Whether the number is left to the tuner.</summary>
    public bool IsAuto => _count == 0;

    /// <summary>Elements at the start.</summary>
    internal int Initial => IsAuto ? 2 : _count;

    /// <summary>A fixed number of elements.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Below 1.</exception>
    public static BufferSize Of(int elements)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(elements);
        return new BufferSize(elements);
    }

    /// <summary>A fixed number of elements.</summary>
    public static implicit operator BufferSize(int elements) => Of(elements);

    /// <summary>For messages.</summary>
    public override string ToString() => IsAuto ? "auto" : $"{_count}";
}
