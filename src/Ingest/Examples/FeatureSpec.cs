using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// What a program expects of one feature: its name, kind and shape, and what counts where it is absent. A fixed shape must be filled exactly; a first
/// dimension of -1 takes any number of rows. Immutable.
/// </summary>
public sealed class FeatureSpec
{
    private readonly int[] _shape;

    private FeatureSpec(string key, FeatureKind kind, ReadOnlySpan<int> shape)
    {
        ArgumentNullException.ThrowIfNull(key);
        Key = key;
        Utf8Key = new UTF8Encoding(false, throwOnInvalidBytes: true).GetBytes(key);
        Kind = kind;
        _shape = shape.ToArray();
        HasRows = _shape.Length > 0 && _shape[0] == -1;
        long count = 1;
        foreach (int dimension in HasRows ? shape[1..] : shape)
        {
            if (dimension < 1) throw new ArgumentException($"feature '{key}' has the shape {Describe(shape)}: dimensions are positive, only the first may be -1", nameof(shape));
            count = Math.Min(count * dimension, int.MaxValue + 1L);
        }
        if (count > int.MaxValue) throw new ArgumentException($"feature '{key}' has the shape {Describe(shape)}, which is more than 2^31 values", nameof(shape));
        ValueCount = (int)count;
        IsRequired = !HasRows;
    }

    private FeatureSpec(FeatureSpec other, bool isRequired)
    {
        (Key, Utf8Key, Kind, _shape, HasRows, ValueCount) = (other.Key, other.Utf8Key, other.Kind, other._shape, other.HasRows, other.ValueCount);
        IsRequired = isRequired;
    }

    /// <summary>The name.</summary>
    public string Key { get; }

    /// <summary>What the values are.</summary>
    public FeatureKind Kind { get; }

    /// <summary>The dimensions; none for a single value.</summary>
    public ReadOnlySpan<int> Shape => _shape;

    /// <summary>Whether the first dimension is any number of rows.</summary>
    public bool HasRows { get; }

    /// <summary>Values in all, or in each row.</summary>
    public int ValueCount { get; }

    /// <summary>Whether a record without the feature is an error.</summary>
    public bool IsRequired { get; }

    internal byte[] Utf8Key { get; }

    internal float[]? DefaultFloats { get; private init; }

    internal long[]? DefaultInt64s { get; private init; }

    internal byte[][]? DefaultBytes { get; private init; }

    internal int DefaultCount => DefaultFloats?.Length ?? DefaultInt64s?.Length ?? DefaultBytes?.Length ?? 0;

    /// <summary>Floats; a single one without a shape.</summary>
    public static FeatureSpec Float(string key, params ReadOnlySpan<int> shape) => new(key, FeatureKind.Float, shape);

    /// <summary>Integers; a single one without a shape.</summary>
    public static FeatureSpec Int64(string key, params ReadOnlySpan<int> shape) => new(key, FeatureKind.Int64, shape);

    /// <summary>Byte strings; a single one without a shape.</summary>
    public static FeatureSpec Bytes(string key, params ReadOnlySpan<int> shape) => new(key, FeatureKind.Bytes, shape);

    /// <summary>The same, but records may lack it: it then has no values, or those of <c>WithDefault</c>.</summary>
    public FeatureSpec Optional() => new(this, isRequired: false) { DefaultFloats = DefaultFloats, DefaultInt64s = DefaultInt64s, DefaultBytes = DefaultBytes };

    /// <summary>The same, but a record without it is an error.</summary>
    public FeatureSpec Required() => new(this, isRequired: true);

    /// <summary>The same, with these values where a record lacks it.</summary>
    /// <param name="values">One, which is repeated, or as many as the shape has; whole rows where rows vary.</param>
    public FeatureSpec WithDefault(params ReadOnlySpan<float> values) => new(this, isRequired: false) { DefaultFloats = Fill(FeatureKind.Float, values) };

    /// <inheritdoc cref="WithDefault(ReadOnlySpan{float})"/>
    public FeatureSpec WithDefault(params ReadOnlySpan<long> values) => new(this, isRequired: false) { DefaultInt64s = Fill(FeatureKind.Int64, values) };

    /// <summary>The same, with this byte string, repeated where the shape has several, where a record lacks it.</summary>
    public FeatureSpec WithDefaultBytes(ReadOnlySpan<byte> value) => new(this, isRequired: false) { DefaultBytes = Fill<byte[]>(FeatureKind.Bytes, [value.ToArray()]) };

    /// <summary>For messages.</summary>
    public override string ToString() => HasRows ? $"{Kind} values of shape {Describe(_shape)}" : Feature.Describe(Kind, ValueCount);

    internal bool Fits(int count) => HasRows ? count % ValueCount == 0 : count == ValueCount;

    private T[] Fill<T>(FeatureKind kind, ReadOnlySpan<T> values)
    {
        if (kind != Kind) throw new ArgumentException($"feature '{Key}' holds {Kind} values: a default of {kind} values can't stand for them", nameof(values));
        if (Fits(values.Length)) return values.ToArray();
        if (values.Length != 1) throw new ArgumentException($"feature '{Key}' has {this}: {values.Length} default values don't fill it", nameof(values));
        T[] filled = new T[ValueCount];
        Array.Fill(filled, values[0]);
        return filled;
    }

    private static string Describe(ReadOnlySpan<int> shape) => $"[{string.Join(", ", shape.ToArray())}]";
}
