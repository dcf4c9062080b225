namespace DistTrain.Ingest;

/// <summary>
/// Finds where the samples of an archive lie by reading its headers, stepping over long contents. The samples are those of <see cref="TarFraming"/>, but that two files of
/// one name in a sample are found only when that sample is read.
/// </summary>
internal static class TarIndexer
{
    private const string Format = "websamp";

    /// <summary>The index that is kept on disk, or one made now and kept; see <see cref="RecordIndexer"/>.</summary>
    internal static RecordIndex Find(FileByteSource source, long length, StreamContext context)
    {
        RecordIndexFile kept = new(source.Name, Format, length, source.LastWriteTime, context.Options.IndexFolder);
        if (kept.Load() is { } found) return found;
        Scan scan = new(source, length, context.Cancellation);
        ListedRecordIndex index = scan.Run();
        // The index of a damaged archive is good until it is mended, which may leave its length and time.
        if (!scan.IsDamaged) kept.Save(index);
        return index;
    }

    private sealed class Scan(FileByteSource source, long length, CancellationToken cancellation)
    {
        // Contents shorter than this are read through, longer ones stepped over.
        private const int LongContentByteCount = 1 << 14;
        private const int ShortReadByteCount = 1 << 12, LongReadByteCount = 1 << 18;

        private readonly List<long> _offsets = [];
        private byte[] _window = new byte[ShortReadByteCount];
        private byte[]? _key;
        private int _partCount, _wanted = ShortReadByteCount;

        // Where the window begins; where the archive ends.
        private long _at, _end = -1;

        /// <summary>Whether the archive is damaged: then the last record is where the damage lies, and reading it tells of it.</summary>
        internal bool IsDamaged { get; private set; }

        internal ListedRecordIndex Run()
        {
            while (_end < 0 && !IsDamaged) WalkWindow();
            if (IsDamaged && _offsets.Count == 0) _offsets.Add(0);
            _offsets.Add(IsDamaged ? length : _offsets.Count > 0 ? _end : 0);
            return new ListedRecordIndex([.. _offsets]);
        }

        private void WalkWindow()
        {
            TarWalker walker = new(Fill(), verify: true);
            TarStep step;
            do
            {
                step = walker.Next();
                long next = _at + (step == TarStep.Incomplete ? walker.NeededByteCount : walker.Position);
                if (step == TarStep.End) _end = _at + walker.Start;
                else if (step == TarStep.Bad) IsDamaged = true;
                else if (step != TarStep.Incomplete || walker.IsNamed) Pass(ref walker);
                else Ask(walker.Start, (int)walker.NeededByteCount - walker.Start);
                IsDamaged |= step == TarStep.Incomplete && next > length;
            }
            while (step is TarStep.File or TarStep.Other && !IsDamaged);
            if (step == TarStep.Incomplete && walker.IsNamed) _at += walker.NeededByteCount;
        }

        // An entry whose header is there; of its content all or nothing.
        private void Pass(ref TarWalker walker)
        {
            _wanted = walker.ContentLength < LongContentByteCount ? LongReadByteCount : ShortReadByteCount;
            if (!walker.IsFile || walker.Name.KeyLength < 0) return;
            byte[] key = walker.Name.KeyBytes;
            bool isSame = _key is not null && key.AsSpan().SequenceEqual(_key);
            // What stands before the first sample is read with it.
            if (!isSame) _offsets.Add(_key is null ? 0 : _at + walker.Start);
            _partCount = isSame ? _partCount + 1 : 1;
            _key = key;
            IsDamaged = _partCount > TarFraming.MaxPartCount;
        }

        // A header that the window ends in: the next window begins with it.
        private void Ask(int start, int byteCount)
        {
            _at += start;
            _wanted = Math.Max(ShortReadByteCount, byteCount);
        }

        private ReadOnlySpan<byte> Fill()
        {
            int byteCount = (int)Math.Min(_wanted, length - _at), done = 0;
            if (_window.Length < byteCount) _window = new byte[byteCount];
            while (done < byteCount && source.Read(_at + done, _window.AsSpan(done, byteCount - done), cancellation) is int read and > 0) done += read;
            if (done < byteCount) throw new DataFormatException(source.Name, _at + done, $"the file ends here, it had {length:N0} bytes when it was opened");
            return _window.AsSpan(0, byteCount);
        }
    }
}
