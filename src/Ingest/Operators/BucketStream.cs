using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>Elements in buckets by their length. The state holds what is in the buckets: as numbers where the input has an index, else as bytes.</summary>
internal sealed class BucketStream<T>(Dataset<T> dataset, StreamContext context, BucketShape<T> shape, ElementCodec<T>? codec)
    : UnaryStream<T, ElementRun<T>>("Buckets", dataset.Open(context))
{
    private readonly List<Held>[] _buckets = [.. shape.BatchSizes.Select(_ => new List<Held>())];
    private long _inputTaken, _given, _elementsGiven;
    private bool _isInputEnded;

    private readonly record struct Held(T Element, long Position, long Index, SourceLocation Source);

    public override long ElementIndex => _given - 1;

    public override bool TryNext([MaybeNullWhen(false)] out ElementRun<T> element)
    {
        while (!_isInputEnded)
        {
            if (!TryTake(out int bucket) || _buckets[bucket].Count < shape.BatchSizes[bucket]) continue;
            element = Give(bucket);
            return true;
        }
        int left = shape.DropRemainder ? -1 : Array.FindIndex(_buckets, bucket => bucket.Count > 0);
        element = left >= 0 ? Give(left) : null;
        return left >= 0;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteInt64(_given);
        writer.WriteInt64(_elementsGiven);
        writer.WriteInt64(_inputTaken);
        writer.WriteBoolean(_isInputEnded);
        ElementCodec<T>? elements = dataset.HasIndex ? null : codec ?? BuiltInCodecs.Require<T>("BucketBySequenceLength", "saving what is in its buckets");
        foreach (List<Held> bucket in _buckets)
        {
            writer.WriteInt64(bucket.Count);
            foreach (Held held in bucket)
            {
                writer.WriteInt64(held.Position);
                writer.WriteInt64(held.Index);
                if (elements is not null) writer.WriteElement(elements, held.Element);
            }
        }
        Input.Save(writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        _given = reader.ReadInt64(0, long.MaxValue, "the number of batches");
        _elementsGiven = reader.ReadInt64(0, long.MaxValue, "the number of elements given");
        _inputTaken = reader.ReadInt64(0, long.MaxValue, "the number of elements taken");
        _isInputEnded = reader.ReadBoolean();
        using IndexedReader<T>? elements = dataset.HasIndex ? dataset.OpenIndexed(context) : null;
        for (int i = 0; i < _buckets.Length; i++)
        {
            long count = reader.ReadInt64(0, shape.BatchSizes[i] - 1, "the number of elements in a bucket");
            for (long k = 0; k < count; k++) _buckets[i].Add(ReadHeld(reader, elements));
        }
        Input.Restore(reader);
    }

    protected override void Dispose(bool disposing)
    {
        foreach (List<Held> bucket in _buckets)
        {
            foreach (Held held in bucket) Ownership<T>.Release(held.Element);
            bucket.Clear();
        }
        base.Dispose(disposing);
    }

    private Held ReadHeld(StateReader reader, IndexedReader<T>? elements)
    {
        long position = reader.ReadInt64(0, elements is null ? long.MaxValue : elements.Count - 1, "the position of an element held"), index = reader.ReadInt64();
        T element = elements is not null ? elements.Read(position) : reader.ReadElement(codec ?? BuiltInCodecs.Require<T>("BucketBySequenceLength", "restoring its buckets"));
        return new Held(element, position, index, elements?.SourceAt(position) ?? SourceLocation.None);
    }

    private bool TryTake(out int bucket)
    {
        bucket = 0;
        long position = _inputTaken++;
        if (!Input.TryNext(out T? element))
        {
            _inputTaken--;
            _isInputEnded = true;
            return false;
        }
        try
        {
            bucket = shape.BucketOf(shape.LengthOf(element));
        }
        catch (Exception e)
        {
            Ownership<T>.Release(element);
            throw IngestException.Wrap("BucketBySequenceLength", Input.ElementIndex, Input.Source, e);
        }
        _buckets[bucket].Add(new Held(element, position, Input.ElementIndex, Input.Source));
        return true;
    }

    private ElementRun<T> Give(int bucket)
    {
        List<Held> held = _buckets[bucket];
        ElementRun<T> run = new(shape.BatchSizes[bucket], _elementsGiven);
        foreach (Held one in held) run.Add(one.Element, one.Index, one.Source);
        held.Clear();
        _given++;
        _elementsGiven += run.Count;
        return run;
    }
}
