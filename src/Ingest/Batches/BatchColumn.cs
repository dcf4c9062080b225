using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>One column of a <see cref="TensorBatch"/>: a look at memory that is the batch's.</summary>
public readonly struct BatchColumn
{
    private readonly TensorBatch _batch;
    private readonly int _ordinal;

    internal BatchColumn(TensorBatch batch, int ordinal) => (_batch, _ordinal) = (batch, ordinal);

    /// <summary>What it is called.</summary>
    public string Name => Layout.Name;

    /// <summary>What it holds.</summary>
    public ElementType Type => Layout.Type;

    /// <summary>The extents, the batch's rows first.</summary>
    public ReadOnlySpan<int> Shape => _batch.Placement.Shape(_ordinal, _batch.Count);

    /// <summary>Where it begins in the batch's memory, in bytes: a multiple of 64.</summary>
    public long Offset => _batch.Placement.Offset(_ordinal);

    /// <summary>Where it begins in memory. Valid until the batch is disposed.</summary>
    public nint Address => _batch.Address + (nint)Offset;

    /// <summary>Its bytes, row-major.</summary>
    /// <exception cref="OverflowException">More than 2 GiB: take rows.</exception>
    public Span<byte> Bytes => _batch.Bytes(_ordinal, 0, _batch.Count);

    private BatchColumnLayout Layout => _batch.Layout.Columns[_ordinal];

    /// <summary>Its values, row-major; <c>ushort</c> for <see cref="ElementType.BFloat16"/>.</summary>
    /// <exception cref="ArgumentException">It holds another type.</exception>
    public Span<T> As<T>() where T : unmanaged
    {
        CheckType<T>();
        return MemoryMarshal.Cast<byte, T>(Bytes);
    }

    /// <summary>The values of one row.</summary>
    /// <exception cref="ArgumentException">It holds another type.</exception>
    public Span<T> Row<T>(int row) where T : unmanaged
    {
        CheckType<T>();
        ArgumentOutOfRangeException.ThrowIfNegative(row);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(row, _batch.Count);
        return MemoryMarshal.Cast<byte, T>(_batch.Bytes(_ordinal, row, 1));
    }

    private void CheckType<T>()
    {
        if (!Type.Holds<T>()) throw new ArgumentException($"column '{Name}' holds {Type}, asked for as {typeof(T).Name}");
    }
}
