using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// Keeps elements in a file. A pass is gathered in a file of another name beside it, which takes the name only when it is whole and on the disk: a cache that is there is complete, also after
/// a crash, and several processes may gather at once.
/// </summary>
internal sealed class FileCacheStore<T>(string path, ElementCodec<T> codec) : CacheStore<T>
{
    private long _count = -1;

    internal override bool IsComplete => File.Exists(path);

    internal override long Count => Volatile.Read(ref _count) >= 0 ? _count : _count = CacheFile.ReadCount<T>(path);

    internal override CacheFilling<T> BeginFilling(StreamContext context) => new Filling(path, codec);

    internal override CachedPass<T> OpenPass(StreamContext context) => new Pass(path, Records(), context, codec, Count);

    internal override IndexedReader<T>? OpenIndexed(StreamContext context) => Records() is { HasIndex: true } records ? OpenReader(records.OpenIndexed(context)) : null;

    private Reader OpenReader(IndexedReader<Record> records)
    {
        long found = records.Count - 1;
        if (found == Count) return new Reader(path, records, codec, Count);
        records.Dispose();
        throw CutShort(path, found, Count);
    }

    private Dataset<Record> Records() => CacheFile.Records(path);

    private static DataFormatException CutShort(string path, long found, long expected) =>
        new(path, 0, $"the file holds {found} cached elements, its first record says {expected}: cut short; delete it, and it is written anew");

    private static (T Element, long Index) Decode(string path, Record record, ElementCodec<T> codec)
    {
        using (record)
        {
            ReadOnlySpan<byte> bytes = record.Span;
            if (bytes.Length < CacheFile.IndexByteCount) throw new DataFormatException(path, record.Source.Offset, $"record {record.Source.Record} has {bytes.Length} bytes, too few for a cached element");
            return (codec.Read(bytes[CacheFile.IndexByteCount..]), BinaryPrimitives.ReadInt64LittleEndian(bytes));
        }
    }

    private sealed class Filling : CacheFilling<T>
    {
        private readonly string _path, _partialPath;
        private readonly ElementCodec<T> _codec;
        private readonly FileStream _file;
        private readonly TFRecordWriter _writer;
        private readonly ArrayBufferWriter<byte> _buffer = new();
        private bool _isDone;

        internal Filling(string path, ElementCodec<T> codec)
        {
            (_path, _codec) = (path, codec);
            _partialPath = $"{path}.{Environment.ProcessId}-{Guid.NewGuid():N}.partial";
            try
            {
                _file = new FileStream(_partialPath, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 20);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Unwritable(-1, e);
            }
            _writer = new TFRecordWriter(_file);
            _writer.Write(CacheFile.Header<T>(0));
        }

        internal override bool TryAdd(in T element, long index)
        {
            _buffer.ResetWrittenCount();
            BinaryPrimitives.WriteInt64LittleEndian(_buffer.GetSpan(CacheFile.IndexByteCount), index);
            _buffer.Advance(CacheFile.IndexByteCount);
            _codec.Write(_buffer, element);
            try
            {
                _writer.Write(_buffer.WrittenSpan);
            }
            catch (IOException e)
            {
                throw Unwritable(index, e);
            }
            return true;
        }

        internal override void Complete()
        {
            long count = _writer.RecordCount - 1;
            try
            {
                _file.Position = 0;
                _writer.Write(CacheFile.Header<T>(count));
                _file.Flush(flushToDisk: true);
                _writer.Dispose();
                // Whoever was first has the same elements.
                File.Move(_partialPath, _path, overwrite: true);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw Unwritable(-1, e);
            }
            _isDone = true;
        }

        public override void Dispose()
        {
            if (_isDone) return;
            _isDone = true;
            // Where the disk is full, what is still buffered can't be written now either.
            Try(_writer.Dispose);
            Try(() => File.Delete(_partialPath));
        }

        private IngestException Unwritable(long index, Exception cause) =>
            new("Cache", index, new SourceLocation(_path), $"the cached elements can't be written: {cause.Message}", cause);

        private static void Try(Action act)
        {
            try
            {
                act();
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // What stays behind is named as what it is, and taken for no cache.
            }
        }
    }

    private sealed class Pass(string path, Dataset<Record> records, StreamContext context, ElementCodec<T> codec, long count) : CachedPass<T>
    {
        private ElementStream<Record>? _stream;
        private long _taken;

        internal override bool TryNext([MaybeNullWhen(false)] out T element, out long index)
        {
            (element, index) = (default, -1);
            if (!Stream.TryNext(out Record record))
            {
                if (_taken == count) return false;
                throw CutShort(path, _taken, count);
            }
            _taken++;
            (element, index) = Decode(path, record, codec);
            return true;
        }

        internal override long Skip(long elements)
        {
            long skipped = Stream.Skip(elements);
            _taken += skipped;
            return skipped;
        }

        public override void Dispose() => _stream?.Dispose();

        // Behind the record that says what the file is.
        private ElementStream<Record> Stream
        {
            get
            {
                if (_stream is not null) return _stream;
                _stream = records.Open(context);
                _stream.Skip(1);
                return _stream;
            }
        }
    }

    private sealed class Reader(string path, IndexedReader<Record> records, ElementCodec<T> codec, long count) : IndexedReader<T>
    {
        public override long Count => count;

        public override T Read(long position) => Decode(path, records.Read(position + 1), codec).Element;

        public override long IndexAt(long position) => Decode(path, records.Read(position + 1), codec).Index;

        public override SourceLocation SourceAt(long position) => records.SourceAt(position + 1);

        protected override void Dispose(bool disposing)
        {
            records.Dispose();
            base.Dispose(disposing);
        }
    }
}
