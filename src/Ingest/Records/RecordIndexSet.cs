namespace DistTrain.Ingest;

/// <summary>Finds the index of one file, on disk or by reading the file.</summary>
internal delegate RecordIndex RecordIndexer(FileByteSource source, long length, StreamContext context);

/// <summary>The indices of a list of files, loaded or made when they are first needed and kept as long as the files stay as they are. Thread-safe.</summary>
internal sealed class RecordIndexSet(FileFeedOptions files, RecordIndexer indexer)
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(50);

    private readonly Lock _lock = new();
    private readonly Entry?[] _entries = new Entry?[files.Locations.Count];

    private sealed record Entry(RecordIndex Index, long Length, DateTime Time);

    /// <summary>Whether files with these names can have an index: local ones that are not compressed.</summary>
    internal static bool IsPossible(FileFeedOptions files) => files.Compression is DataCompression.None or DataCompression.Auto
        && files.Locations.All(file => ByteSource.IsLocal(file) && (files.Compression == DataCompression.None || Decompression.OfName(file) == DataCompression.Auto));

    /// <summary>The indices of all files; blocks while those that are missing are made.</summary>
    /// <exception cref="IngestException">A file is not there, or has no length, or is compressed.</exception>
    internal RecordIndex[] Load(StreamContext context)
    {
        Enter(context.Cancellation);
        try
        {
            RecordIndex[] indices = new RecordIndex[files.Locations.Count];
            for (int i = 0; i < indices.Length; i++) indices[i] = Load(i, context).Index;
            return indices;
        }
        finally
        {
            _lock.Exit();
        }
    }

    // Another run may be reading a large file for its index: who is stopped meanwhile must not wait for that.
    private void Enter(CancellationToken cancellation)
    {
        while (!_lock.TryEnter(s_look)) cancellation.ThrowIfCancellationRequested();
    }

    private Entry Load(int file, StreamContext context)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        using FileByteSource source = ByteSource.OpenLocal(files.Operator, files.Locations[file], FileOptions.RandomAccess);
        if (source.GetLength(context.Cancellation) is not { } length) throw Error(file, "it has no length (a pipe, a device?) and can be read in order only");
        DateTime time = source.LastWriteTime;
        if (_entries[file] is { } known && known.Length == length && known.Time == time) return known;
        if (Decompression.Find(files.Compression, files.Locations[file], source, files.Recognizes, context.Cancellation) is var found and not DataCompression.None)
            throw Error(file, $"it is compressed ({found}): compressed files have no index and can be read in order only; decompress it to read records by number");
        return _entries[file] = new Entry(indexer(source, length, context), length, time);
    }

    private IngestException Error(int file, string problem) => new(files.Operator, -1, new SourceLocation(files.Locations[file]), problem);
}
