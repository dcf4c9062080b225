namespace DistTrain.Ingest;

/// <summary>The records that a framing finds in files, one file behind the other: what every source of records from files is.</summary>
internal sealed class FramedDataset<TFraming> : Dataset<Record> where TFraming : struct, IRecordFraming
{
    private readonly FileFeedOptions _files;
    private readonly TFraming _framing;
    private readonly bool _readAhead;
    private readonly RecordAccess<TFraming>? _access;
    private readonly RecordIndexSet? _indices;

    /// <param name="name">The source, as it is called in the program.</param>
    /// <param name="files">Paths and addresses, at least one.</param>
    /// <param name="framing">The format, read in order.</param>
    /// <param name="compression">How the files are compressed.</param>
    /// <param name="readAhead">Whether a thread of its own reads them.</param>
    /// <param name="slabByteCount">How large the slabs are.</param>
    /// <param name="access">Access by number; null: none.</param>
    internal FramedDataset(string name, IReadOnlyList<string> files, TFraming framing, DataCompression compression, bool readAhead,
        int slabByteCount = SlabPool.DefaultByteCount, RecordAccess<TFraming>? access = null)
    {
        _files = new FileFeedOptions(name, files, slabByteCount, compression, framing.Recognizes);
        _framing = framing;
        _readAhead = readAhead;
        _access = access;
        if (access is not null && RecordIndexSet.IsPossible(_files)) _indices = new RecordIndexSet(_files, access.Indexer);
    }

    public override string Name => _files.Operator;

    public override Cardinality Cardinality => Cardinality.Unknown;

    public override bool HasIndex => _indices is not null;

    // In order no index is needed, not even to save the position: a pass over new files does not begin with reading them for an index.
    protected internal override ElementStream<Record> Open(StreamContext context)
    {
        if (!_readAhead) return new RecordStream<TFraming>(Name, new FileFeed(_files, context), _framing, context);
        StreamContext own = context.CreateStoppable();
        return new RecordStream<TFraming>(Name, new ReadAheadFeed(new FileFeed(_files, own), Name, own), _framing, context);
    }

    protected internal override IndexedReader<Record> OpenIndexed(StreamContext context)
    {
        if (_indices is null || _access is null) return base.OpenIndexed(context);
        return new IndexedRecordReader<TFraming>(Name, _files.Locations, _indices.Load(context), _access, context);
    }
}

/// <summary>How the records of files are read by number.</summary>
/// <param name="Indexer">Finds a file's index.</param>
/// <param name="Framing">Reads a final window that holds one record and nothing else.</param>
/// <param name="MaxFrameByteCount">No good record is longer, all that belongs to it included.</param>
internal sealed record RecordAccess<TFraming>(RecordIndexer Indexer, TFraming Framing, int MaxFrameByteCount) where TFraming : struct, IRecordFraming;
