using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

public abstract partial class Dataset<T>
{
    /// <summary>
    /// Random order within a buffer: each element given is drawn from the last <paramref name="bufferSize"/> or so of the input. Where there is index access,
    /// <see cref="GlobalShuffle"/> mixes better and needs no memory.
    /// </summary>
    /// <param name="bufferSize">Elements held; all of the data's for a perfect shuffle.</param>
    /// <param name="seed">Names the orders.</param>
    /// <param name="reshuffle">Another order each epoch.</param>
    /// <param name="codec">Writes held elements into saved states where the input has no index and the type is not known to the library.</param>
    public Dataset<T> Shuffle(int bufferSize, ulong seed, bool reshuffle = true, ElementCodec<T>? codec = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bufferSize);
        return new ShuffleDataset<T>(this, bufferSize, seed, reshuffle, codec);
    }
}

internal sealed class ShuffleDataset<T>(Dataset<T> input, int bufferSize, ulong seed, bool reshuffle, ElementCodec<T>? codec) : Dataset<T>
{
    public override string Name => "Shuffle";

    public override Cardinality Cardinality => input.Cardinality;

    protected internal override ElementStream<T> Open(StreamContext context) =>
        new ShuffleStream<T>(input, context, bufferSize, seed, reshuffle ? context.Epoch : 0, codec ?? ElementCodec<T>.Default);
}

internal sealed class ShuffleStream<T>(Dataset<T> dataset, StreamContext context, int bufferSize, ulong seed, long epoch, ElementCodec<T>? codec)
    : UnaryStream<T, T>("Shuffle", dataset.Open(context))
{
    // Grows as elements come: a buffer as large as the data may be asked for without knowing how large those are.
    private readonly List<Held> _held = [];
    private long _inputTaken, _drawn, _index = -1;
    private SourceLocation _source;
    private bool _isInputEnded;

    // Position: the element's number in the input, by which it can be read again where there is an index.
    private readonly record struct Held(T Element, long Position, long Index, SourceLocation Source);

    public override long ElementIndex => _index;

    public override SourceLocation Source => _source;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        while (!_isInputEnded && _held.Count < bufferSize)
            if (TryTake(out Held taken)) _held.Add(taken);
        if (_held.Count == 0)
        {
            element = default;
            return false;
        }
        int place = new ElementRandom(seed, epoch, _drawn++).Next(_held.Count);
        (element, _, _index, _source) = _held[place];
        // What is drawn is replaced by the last one; the next call takes a new one to the end.
        _held[place] = _held[^1];
        _held.RemoveAt(_held.Count - 1);
        return true;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_drawn);
        writer.WriteInt64(_inputTaken);
        writer.WriteBoolean(_isInputEnded);
        writer.WriteInt64(_held.Count);
        ElementCodec<T>? elements = dataset.HasIndex ? null : codec ?? BuiltInCodecs.Require<T>(Name, "saving its buffer");
        foreach (Held held in _held)
        {
            writer.WriteInt64(held.Position);
            writer.WriteInt64(held.Index);
            if (elements is not null) WriteHeld(held, elements, writer);
        }
        Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        _drawn = reader.ReadInt64(0, long.MaxValue, "the number of elements drawn");
        _inputTaken = reader.ReadInt64(0, long.MaxValue, "the number of elements taken");
        _isInputEnded = reader.ReadBoolean();
        long count = reader.ReadInt64(0, bufferSize, "the number of elements held");
        using IndexedReader<T>? elements = dataset.HasIndex && count > 0 ? dataset.OpenIndexed(context) : null;
        for (long i = 0; i < count; i++) _held.Add(ReadHeld(reader, elements));
        Input.Restore(reader);
    }

    protected override void Dispose(bool disposing)
    {
        foreach (Held held in _held) Ownership<T>.Release(held.Element);
        _held.Clear();
        base.Dispose(disposing);
    }

    private void WriteHeld(in Held held, ElementCodec<T> codec, StateWriter writer)
    {
        try
        {
            writer.WriteElement(codec, held.Element);
        }
        catch (Exception e) when (IngestException.IsForeign(e, context.Cancellation))
        {
            throw new IngestException(Name, held.Index, held.Source, $"the element can't be written into a state: {e.Message}", e);
        }
    }

    private Held ReadHeld(StateReader reader, IndexedReader<T>? elements)
    {
        long position = reader.ReadInt64(0, elements is null ? long.MaxValue : elements.Count - 1, "the position of an element held"), index = reader.ReadInt64();
        T element = elements is not null ? elements.Read(position) : reader.ReadElement(codec ?? BuiltInCodecs.Require<T>(Name, "restoring its buffer"));
        return new Held(element, position, index, elements?.SourceAt(position) ?? SourceLocation.None);
    }

    private bool TryTake(out Held taken)
    {
        taken = default;
        long position = _inputTaken++;
        if (!Input.TryNext(out T? element))
        {
            _inputTaken--;
            _isInputEnded = true;
            return false;
        }
        taken = new Held(element, position, Input.ElementIndex, Input.Source);
        return true;
    }
}
