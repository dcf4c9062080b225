using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>Makes what parses the records of one run.</summary>
/// <param name="context">The run.</param>
/// <param name="isShared">Several threads may use it at a time.</param>
internal delegate ElementFunction<Record, T> RecordParserFactory<T>(StreamContext context, bool isShared);

/// <summary>A source that makes each element of one record: text formats and archives on top of framed files. Position, index and state are the records'.</summary>
internal sealed class ParsedDataset<T>(Dataset<Record> records, RecordParserFactory<T> parser, string name, Parallelism parallelism) : Dataset<T>
{
    public override string Name => name;

    public override Cardinality Cardinality => records.Cardinality;

    public override bool HasIndex => records.HasIndex;

    protected internal override ElementStream<T> Open(StreamContext context)
    {
        if (parallelism.IsInline) return new ParsedStream<T>(name, records.Open(context), parser(context, false));
        StreamContext own = context.CreateStoppable();
        Stage stage = new(name, parallelism, BufferSize.Of(1), AsyncStream<Record, T>.MaxParallelism) { BufferPerThread = 2, EpochElements = Cardinality };
        return new AsyncStream<Record, T>(own, records.Open(own), parser(own, true), stage, new AsyncOptions(IsOrdered: true, MayBufferMore: true));
    }

    protected internal override IndexedReader<T> OpenIndexed(StreamContext context) => new ParsedReader<T>(name, records.OpenIndexed(context), parser(context, true));
}

internal sealed class ParsedStream<T>(string name, ElementStream<Record> records, ElementFunction<Record, T> parse) : UnaryStream<Record, T>(name, records)
{
    public override bool IsSeekable => Input.IsSeekable;

    public override long Extent => Input.Extent;

    public override bool TryNext([MaybeNullWhen(false)] out T element)
    {
        if (!Input.TryNext(out Record record))
        {
            element = default;
            return false;
        }
        try
        {
            element = parse.Apply(record, default);
            return true;
        }
        catch (Exception e) when (e is not (IngestException or DataFormatException or OperationCanceledException))
        {
            throw IngestException.Wrap(Name, Input.ElementIndex, Input.Source, e);
        }
    }

    public override long Skip(long count) => Input.Skip(count);

    // The same with and without threads.
    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(Name);
        AnchoredInput<Record>.WriteNow(Input, writer);
    }

    public override void SaveAt(long taken, StateWriter writer)
    {
        writer.WriteOperator(Name);
        writer.WriteBoolean(true);
        Input.SaveAt(taken, writer);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(Name);
        AnchoredInput<Record>.RestoreNow(Input, reader);
    }
}

internal sealed class ParsedReader<T>(string name, IndexedReader<Record> records, ElementFunction<Record, T> parse) : IndexedReader<T>
{
    public override long Count => records.Count;

    public override T Read(long position)
    {
        Record record = records.Read(position);
        try
        {
            return parse.Apply(record, default);
        }
        catch (Exception e) when (e is not (IngestException or DataFormatException or OperationCanceledException))
        {
            throw IngestException.Wrap(name, records.IndexAt(position), records.SourceAt(position), e);
        }
    }

    public override long IndexAt(long position) => records.IndexAt(position);

    public override SourceLocation SourceAt(long position) => records.SourceAt(position);

    public override long ToGlobal(long position) => records.ToGlobal(position);

    public override long FromGlobal(long global) => records.FromGlobal(global);

    public override IndexLayout Layout => records.Layout;

    protected override void Dispose(bool disposing)
    {
        records.Dispose();
        base.Dispose(disposing);
    }
}
