using System.Buffers.Binary;
using System.Collections.Frozen;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>Reads what a <see cref="StateWriter"/> took down, in the same order. Trusts nothing: every length is checked against what is there.</summary>
public sealed class StateReader
{
    // Operators behind which ranks that have each taken as many elements have also come as far in the data.
    private static readonly FrozenSet<string> s_inStep = FrozenSet.Create("Map", "Prefetch", "PrefetchTo", "Repeat", "Batch", "PaddedBatch", "Gather", "Statistics", "Zip", "SampleFrom", "PrefetchTo", "Index");

    private readonly ReadOnlyMemory<byte> _state;
    private int _at;

    /// <summary>Reads from the beginning of <paramref name="state"/>, which must not change meanwhile.</summary>
    public StateReader(ReadOnlyMemory<byte> state) => _state = state;

    /// <summary>What errors call a state.</summary>
    internal const string Name = "pipeline state";

    /// <summary>Whether all of it has been read.</summary>
    public bool IsAtEnd => _at == _state.Length;

    /// <summary>An operator read so far that keeps ranks from going on in step, so that their states are no use to another number of ranks; null: there is none.</summary>
    internal string? OutOfStep { get; private set; }

    /// <summary>Reads the beginning of an operator's part.</summary>
    /// <exception cref="DataFormatException">Another operator wrote here: the state belongs to another pipeline.</exception>
    public void ReadOperator(string name) => ReadOperator(name, s_inStep.Contains(name));

    /// <summary>The same for an operator that says whether ranks stay in step behind it.</summary>
    /// <param name="name">The operator.</param>
    /// <param name="keepsRanksInStep">
    /// Ranks that have each taken as many elements behind it have also taken as many before it: it makes one element of each, or of so many. Then a state can be gone on with by
    /// another number of ranks. Operators of your own are taken not to.
    /// </param>
    /// <exception cref="DataFormatException">Another operator wrote here: the state belongs to another pipeline.</exception>
    public void ReadOperator(string name, bool keepsRanksInStep)
    {
        int at = _at;
        string found = ReadString();
        if (found != name) throw Error(at, $"it was saved by the operator '{found}' where this pipeline has '{name}': it belongs to another pipeline");
        if (!keepsRanksInStep) RequireSameRanks(name);
    }

    /// <summary>What is read from here on can't be gone on from by another number of ranks, because of <paramref name="operatorName"/>.</summary>
    internal void RequireSameRanks(string operatorName) => OutOfStep ??= operatorName;

    /// <summary>Reads a number.</summary>
    /// <exception cref="DataFormatException">The state ends before it.</exception>
    public long ReadInt64()
    {
        if (_state.Length - _at < 8) throw Error(_at, "it ends inside a number: cut short");
        long value = BinaryPrimitives.ReadInt64LittleEndian(_state.Span[_at..]);
        _at += 8;
        return value;
    }

    /// <summary>Reads a number that must lie between two others.</summary>
    /// <exception cref="DataFormatException">It does not.</exception>
    public long ReadInt64(long minimum, long maximum, string what)
    {
        int at = _at;
        long value = ReadInt64();
        return value >= minimum && value <= maximum ? value : throw Error(at, $"{what} is {value}, expected {minimum} to {maximum}: it is damaged or belongs to other data");
    }

    /// <summary>Reads true or false.</summary>
    /// <exception cref="DataFormatException">It is neither.</exception>
    public bool ReadBoolean() => ReadInt64(0, 1, "a flag") != 0;

    /// <summary>Reads text.</summary>
    /// <exception cref="DataFormatException">The state ends before its end.</exception>
    public string ReadString() => Encoding.UTF8.GetString(ReadBytes().Span);

    /// <summary>Reads bytes; a slice of the state, not a copy.</summary>
    /// <exception cref="DataFormatException">The state ends before their end.</exception>
    public ReadOnlyMemory<byte> ReadBytes()
    {
        int at = _at;
        long length = ReadInt64();
        if (length < 0 || length > _state.Length - _at) throw Error(at, $"{length} bytes are announced, {_state.Length - _at} are left: cut short or damaged");
        ReadOnlyMemory<byte> bytes = _state.Slice(_at, (int)length);
        _at += (int)length;
        return bytes;
    }

    /// <summary>Reads a state inside this one.</summary>
    internal StateReader Inner(ReadOnlyMemory<byte> state) => new(state) { OutOfStep = OutOfStep };

    /// <exception cref="DataFormatException">Something is left that nobody has read.</exception>
    internal void RequireEnd()
    {
        if (!IsAtEnd) throw Error(_at, $"{_state.Length - _at} bytes follow that this pipeline does not have: it belongs to another one");
    }

    internal T ReadElement<T>(ElementCodec<T> codec)
    {
        int at = _at;
        ReadOnlyMemory<byte> bytes = ReadBytes();
        try
        {
            return codec.Read(bytes.Span);
        }
        catch (Exception e) when (e is not (OutOfMemoryException or DataFormatException))
        {
            throw Error(at, $"an element of type {typeof(T).Name} can't be read back: {e.Message}", e);
        }
    }

    internal static DataFormatException Error(long at, string problem, Exception? cause = null) => new(Name, at, problem, cause);
}
