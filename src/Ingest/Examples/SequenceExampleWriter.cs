using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>
/// Makes <c>tf.train.SequenceExample</c> records: add features of the whole and lists of steps, then write the example, then the next one. Buffers are
/// reused: in the steady state nothing is allocated. Not thread-safe.
/// </summary>
/// <example><code>
/// writer.AddContext("label"u8, 3L);
/// writer.BeginList("tokens"u8);
/// foreach (long token in tokens) writer.AddStep(token);
/// writer.WriteTo(buffer);
/// </code></example>
public sealed class SequenceExampleWriter
{
    private readonly WireWriter _context = new(), _lists = new(), _steps = new();
    private byte[] _key = [];
    private int _keyLength = -1;

    /// <summary>Adds floats to the features of the whole.</summary>
    /// <param name="key">The name, in UTF-8.</param>
    /// <param name="values">The values.</param>
    public void AddContext(ReadOnlySpan<byte> key, params ReadOnlySpan<float> values) => ExampleWriter.AddTo(_context, key, new FeatureValues(values));

    /// <summary>Adds integers to the features of the whole.</summary>
    /// <inheritdoc cref="AddContext(ReadOnlySpan{byte}, ReadOnlySpan{float})"/>
    public void AddContext(ReadOnlySpan<byte> key, params ReadOnlySpan<long> values) => ExampleWriter.AddTo(_context, key, new FeatureValues(values));

    /// <summary>Adds one byte string to the features of the whole.</summary>
    /// <param name="key">The name, in UTF-8.</param>
    /// <param name="value">The bytes, which are copied.</param>
    public void AddContextBytes(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value) => ExampleWriter.AddTo(_context, key, new FeatureValues(value));

    /// <summary>Begins a list, to which steps are then added; the one before it ends.</summary>
    /// <param name="key">The name, in UTF-8.</param>
    public void BeginList(ReadOnlySpan<byte> key)
    {
        WireWriter.CheckKey(key);
        EndList();
        if (_key.Length < key.Length) _key = new byte[key.Length];
        key.CopyTo(_key);
        _keyLength = key.Length;
    }

    /// <summary>Adds a step of floats to the list.</summary>
    public void AddStep(params ReadOnlySpan<float> values) => AddStep(new FeatureValues(values));

    /// <summary>Adds a step of integers to the list.</summary>
    public void AddStep(params ReadOnlySpan<long> values) => AddStep(new FeatureValues(values));

    /// <summary>Adds a step of one byte string to the list.</summary>
    public void AddStepBytes(ReadOnlySpan<byte> value) => AddStep(new FeatureValues(value));

    /// <summary>Drops what was added since the last example.</summary>
    public void Clear()
    {
        _context.Clear();
        _lists.Clear();
        _steps.Clear();
        _keyLength = -1;
    }

    /// <summary>Writes the example and begins the next one.</summary>
    /// <returns>Its bytes.</returns>
    public int WriteTo(IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        EndList();
        int written = ExampleWriter.WriteMessage(output, FeatureTags.Features, _context.Written)
            + ExampleWriter.WriteMessage(output, FeatureTags.FeatureLists, _lists.Written);
        Clear();
        return written;
    }

    private void AddStep(scoped in FeatureValues values)
    {
        if (_keyLength < 0) throw new InvalidOperationException("a step belongs to a list: call BeginList first");
        _steps.Reserve(WireWriter.FieldLength(values.Length));
        _steps.WriteHead(FeatureTags.Step, values.Length);
        values.Write(_steps);
    }

    private void EndList()
    {
        if (_keyLength < 0) return;
        int entry = checked(WireWriter.FieldLength(_keyLength) + WireWriter.FieldLength(_steps.Length));
        _lists.Reserve(WireWriter.FieldLength(entry));
        _lists.WriteHead(FeatureTags.Entry, entry);
        _lists.WriteField(FeatureTags.Key, _key.AsSpan(0, _keyLength));
        _lists.WriteField(FeatureTags.Value, _steps.Written);
        _steps.Clear();
        _keyLength = -1;
    }
}
