namespace DistTrain.Ingest;

/// <summary>
/// Records of files read by number, each verified as in order. What is read forward in small steps (in order, or as one rank of a few) is read in larger blocks.
/// </summary>
internal sealed class IndexedRecordReader<TFraming> : IndexedReader<Record> where TFraming : struct, IRecordFraming
{
    // How far ahead the next record may lie for reading on to be better than reading apart.
    private const int BlockByteCount = 1 << 18;

    // As much of a record that is too long, or none at all, as a framing needs to say so.
    private const int StartByteCount = 1 << 9;

    private readonly string _name;
    private readonly IReadOnlyList<string> _files;
    private readonly RecordIndex[] _indices;
    private readonly long[] _firsts;
    private readonly int _maxFrameByteCount;
    private readonly TFraming _framing;
    private readonly OpenFiles _open;
    private readonly SlabArena _arena;
    private readonly SlabPool _pool;
    private readonly CancellationToken _cancellation;

    // The block read last, and the end of the record asked for last.
    private readonly Lock _lock = new();
    private Slab? _block;
    private int _blockFile = -1, _blockLength, _lastFile = -1;
    private long _blockOffset, _lastEnd;

    internal IndexedRecordReader(string name, IReadOnlyList<string> files, RecordIndex[] indices, RecordAccess<TFraming> access, StreamContext context)
    {
        _name = name;
        _files = files;
        _indices = indices;
        _framing = access.Framing;
        _maxFrameByteCount = access.MaxFrameByteCount;
        _firsts = new long[files.Count + 1];
        for (int i = 0; i < files.Count; i++) _firsts[i + 1] = _firsts[i] + indices[i].Count;
        _open = new OpenFiles(name, files);
        _pool = context.Slabs;
        _arena = new SlabArena(_pool);
        _cancellation = context.Cancellation;
    }

    public override long Count => _firsts[^1];

    public override Record Read(long position)
    {
        int file = Find(position);
        RecordIndex index = _indices[file];
        long number = position - _firsts[file], offset = index.OffsetOf(number), end = index.OffsetOf(number + 1);
        bool isWhole = end - offset <= _maxFrameByteCount;
        int length = (int)(isWhole ? end - offset : Math.Min(end - offset, StartByteCount));
        Slab slab = Load(file, offset, length, number, out int start);
        try
        {
            return Frame(slab, start, length, isWhole, new SourceLocation(_files[file], offset, number));
        }
        catch
        {
            slab.Release();
            throw;
        }
    }

    public override SourceLocation SourceAt(long position)
    {
        int file = Find(position);
        long number = position - _firsts[file];
        RecordIndex index = _indices[file];
        return new SourceLocation(_files[file], index.OffsetOf(number) + index.LeadOf(number), number);
    }

    protected override void Dispose(bool disposing)
    {
        lock (_lock)
        {
            _block?.Release();
            _block = null;
        }
        _arena.Dispose();
        _open.Dispose();
        base.Dispose(disposing);
    }

    private int Find(long position)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(position);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(position, Count);
        int low = 0, high = _files.Count - 1;
        while (low < high)
        {
            int middle = (low + high + 1) >>> 1;
            if (_firsts[middle] <= position) low = middle;
            else high = middle - 1;
        }
        return low;
    }

    private Record Frame(Slab slab, int start, int length, bool isWhole, in SourceLocation place)
    {
        RecordFrame frame = default;
        FrameStatus status = _framing.Read(slab.Bytes.AsSpan(start, length), place.Offset, isWhole, ref frame);
        if (status == FrameStatus.Complete && frame.ByteCount == length && isWhole)
            return new Record(slab, start + frame.DataStart, frame.DataLength, place.File, place.Offset + frame.LeadByteCount, place.Record);
        string problem = status == FrameStatus.Damaged ? frame.Problem!
            : !isWhole ? $"it has more than the {_maxFrameByteCount:N0} bytes that are accepted, header included; raise the limit if the file is trusted"
            : "it does not end where the file's index says: the file was changed; delete the index (.dtindex) if the file has kept its time and length";
        throw new DataFormatException(place.File!, place.Offset + (status == FrameStatus.Damaged ? frame.ProblemStart : 0), $"{_name}, record {place.Record}: {problem}");
    }

    private Slab Load(int file, long offset, int length, long number, out int start)
    {
        try
        {
            return Load(file, offset, length, out start);
        }
        catch (DataFormatException e)
        {
            throw e.At(_name, number);
        }
    }

    // The bytes with a lease of their own.
    private Slab Load(int file, long offset, int length, out int start)
    {
        lock (_lock)
        {
            if (file == _blockFile && offset >= _blockOffset && offset + length <= _blockOffset + _blockLength) return TakeFromBlock(file, offset, length, out start);
            bool isForward = file == _lastFile && offset >= _lastEnd && offset - _lastEnd < BlockByteCount / 4;
            (_lastFile, _lastEnd) = (file, offset + length);
            if (isForward && length <= BlockByteCount / 4)
            {
                ReadBlock(file, offset);
                return TakeFromBlock(file, offset, length, out start);
            }
        }
        Slab slab = _arena.Reserve(length, out start);
        try
        {
            _open.Read(file, offset, slab.Bytes.AsSpan(start, length), _cancellation);
            return slab;
        }
        catch
        {
            slab.Release();
            throw;
        }
    }

    private Slab TakeFromBlock(int file, long offset, int length, out int start)
    {
        (_lastFile, _lastEnd) = (file, offset + length);
        start = _block!.Origin + (int)(offset - _blockOffset);
        _block.Lease();
        return _block;
    }

    private void ReadBlock(int file, long offset)
    {
        _block?.Release();
        (_block, _blockFile) = (null, -1);
        RecordIndex index = _indices[file];
        int length = (int)Math.Min(BlockByteCount, index.OffsetOf(index.Count) - offset);
        Slab block = _pool.Rent(length);
        try
        {
            _open.Read(file, offset, block.Bytes.AsSpan(block.Origin, length), _cancellation);
        }
        catch
        {
            block.Release();
            throw;
        }
        (_block, _blockFile, _blockOffset, _blockLength) = (block, file, offset, length);
    }
}
