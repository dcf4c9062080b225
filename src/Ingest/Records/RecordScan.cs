namespace DistTrain.Ingest;

/// <summary>Finds the indices of files that have to be read for them.</summary>
internal static class RecordScan
{
    /// <summary>The index that is kept on disk, or one made now and kept.</summary>
    /// <param name="format">What the records are: up to 8 letters of ASCII; indices of other formats are not believed.</param>
    /// <param name="framing">The format.</param>
    internal static RecordIndexer Indexer<TFraming>(string format, TFraming framing) where TFraming : struct, IRecordFraming => (source, length, context) =>
    {
        RecordIndexFile kept = new(source.Name, format, length, source.LastWriteTime, context.Options.IndexFolder);
        if (kept.Load() is { } found) return found;
        RecordScan<TFraming> scan = new(source, length, framing, context);
        ListedRecordIndex index = scan.Run();
        // The index of a damaged file is good until the file is mended, which may leave its length and time.
        if (!scan.IsDamaged) kept.Save(index);
        return index;
    };
}

/// <summary>Finds where the records of a file lie, looking at no more than their headers where the format has some.</summary>
internal sealed class RecordScan<TFraming>(IByteSource source, long length, TFraming framing, StreamContext context) where TFraming : struct, IRecordFraming
{
    // Records shorter than this are read through, longer ones stepped over.
    private const int LongRecordByteCount = 1 << 14;
    private const int ShortReadByteCount = 1 << 12, LongReadByteCount = 1 << 18;

    private long[] _offsets = new long[256];
    private int _count;

    /// <summary>Whether the file is damaged: then the last record of the index is where the damage begins, and reading it tells of it.</summary>
    internal bool IsDamaged { get; private set; }

    /// <summary>Reads the file; blocks.</summary>
    /// <exception cref="OperationCanceledException">The pipeline was stopped.</exception>
    internal ListedRecordIndex Run()
    {
        using Window window = new(source, length, context);
        RecordFrame frame = default;
        long offset = 0, last = 0;
        while (true)
        {
            FrameStatus status = framing.Measure(window.From(offset), offset, window.IsFinal, ref frame);
            if (status == FrameStatus.NeedsMore)
            {
                window.Fill(offset, frame.NeededIn(source.Name, offset, window.ByteCount), last >= LongRecordByteCount ? ShortReadByteCount : LongReadByteCount);
                continue;
            }
            if (status == FrameStatus.End) break;
            Add(offset);
            last = frame.ByteCount;
            if (status == FrameStatus.Damaged && frame.Delimiter >= 0) last = window.FindBehind(offset + frame.ProblemStart, (byte)frame.Delimiter) - offset;
            IsDamaged = (status == FrameStatus.Damaged && last == 0) || last > length - offset;
            offset = IsDamaged ? length : offset + last;
            if (IsDamaged) break;
        }
        Add(offset);
        return new ListedRecordIndex(_offsets.AsSpan(0, _count).ToArray());
    }

    private void Add(long offset)
    {
        if (_count == _offsets.Length) Array.Resize(ref _offsets, (int)Math.Min(Array.MaxLength, 2L * _count));
        _offsets[_count++] = offset;
    }

    private sealed class Window(IByteSource source, long length, StreamContext context) : IDisposable
    {
        private Slab? _slab;
        private long _start;
        private int _filled;

        internal int ByteCount => _filled;

        internal bool IsFinal => _start + _filled == length;

        internal ReadOnlySpan<byte> From(long offset) => offset < _start || offset > _start + _filled ? Restart(offset) : _slab is null ? default : _slab.Span[(int)(offset - _start).._filled];

        internal void Fill(long offset, long needed, int wanted)
        {
            int byteCount = (int)Math.Min(Math.Max(needed, wanted), length - offset);
            if (_slab is null || _slab.ByteCount < byteCount)
            {
                _slab?.Release();
                _slab = null;
                _slab = context.Slabs.Rent(Math.Max(byteCount, (int)Math.Min(LongReadByteCount, length)));
            }
            Restart(offset);
            while (_filled < byteCount)
            {
                int read = source.Read(offset + _filled, _slab.Span[_filled..byteCount], context.Cancellation);
                if (read == 0) throw new DataFormatException(source.Name, offset + _filled, $"the file ends here, it had {length:N0} bytes when it was opened");
                _filled += read;
            }
        }

        /// <summary>Where the first such byte at or behind an offset ends; the end of the file if there is none.</summary>
        internal long FindBehind(long offset, byte delimiter)
        {
            while (offset < length)
            {
                ReadOnlySpan<byte> bytes = From(offset);
                if (bytes.IsEmpty)
                {
                    Fill(offset, 1, LongReadByteCount);
                    continue;
                }
                int found = bytes.IndexOf(delimiter);
                if (found >= 0) return offset + found + 1;
                offset += bytes.Length;
            }
            return length;
        }

        public void Dispose() => _slab?.Release();

        private ReadOnlySpan<byte> Restart(long offset)
        {
            _start = offset;
            _filled = 0;
            return default;
        }
    }
}
