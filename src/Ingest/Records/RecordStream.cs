using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Ingest;

/// <summary>
/// One pass over the records of a list of sources, in order. Its state is the source, the offset and the record's number in it: no index is needed to save it or to go
/// on from it. Behind a damaged record it goes on with the next one where the framing can tell where that begins, else with the next source.
/// </summary>
internal sealed class RecordStream<TFraming> : ElementStream<Record> where TFraming : struct, IRecordFraming
{
    private readonly string _name;
    private readonly SlabFeed _feed;
    private readonly SlabWindow _window;
    private readonly CancellationToken _cancellation;
    private TFraming _framing;
    private RecordFrame _frame;

    // The next record's: source, bytes and records before it there; elements before that source.
    private int _file;
    private long _offset, _record, _before;
    private string _fileName = "";
    private bool _isOpen;

    // Where the element last taken lies, if it is not the one before the next in this source.
    private SourceLocation _last;
    private bool _isLastHere;

    internal RecordStream(string name, SlabFeed feed, TFraming framing, StreamContext context)
    {
        _name = name;
        _feed = feed;
        _framing = framing;
        _window = new SlabWindow(feed, context.Slabs);
        _cancellation = context.Cancellation;
    }

    public override long ElementIndex => _before + _record - 1;

    public override SourceLocation Source => _isLastHere ? new SourceLocation(_fileName, _offset - _frame.ByteCount + _frame.LeadByteCount, _record - 1) : _last;

    public override bool TryNext([MaybeNullWhen(false)] out Record element)
    {
        _cancellation.ThrowIfCancellationRequested();
        while (_isOpen || TryOpenNext())
        {
            FrameStatus status = _framing.Read(_window.Span, _offset, _window.IsFinal, ref _frame);
            if (status == FrameStatus.Complete)
            {
                element = _window.Take(_frame, _fileName, _offset + _frame.LeadByteCount, _record);
                Pass(_frame.ByteCount);
                return true;
            }
            GoOn(status);
        }
        element = default;
        return false;
    }

    public override void Save(StateWriter writer)
    {
        writer.WriteOperator(_name);
        writer.WriteInt64(_feed.FileCount);
        writer.WriteInt64(_file);
        writer.WriteInt64(_offset);
        writer.WriteInt64(_record);
        writer.WriteInt64(_before + _record);
    }

    public override void Restore(StateReader reader)
    {
        reader.ReadOperator(_name);
        reader.ReadInt64(_feed.FileCount, _feed.FileCount, "the number of files");
        _file = (int)reader.ReadInt64(0, _feed.FileCount, "the number of the file");
        _offset = reader.ReadInt64(0, long.MaxValue, "the offset in the file");
        _record = reader.ReadInt64(0, long.MaxValue, "the number of the record");
        _before = reader.ReadInt64(_record, long.MaxValue, "the number of elements taken") - _record;
        _feed.Seek(_file, _offset);
    }

    protected override void Dispose(bool disposing)
    {
        _window.Dispose();
        _feed.Dispose();
    }

    private bool TryOpenNext()
    {
        if (_file >= _feed.FileCount) return false;
        _fileName = _feed.NameOf(_file);
        return Guard(static stream => stream._isOpen = stream._window.TryOpenNext());
    }

    // All that is not a record: more bytes, another file, an error.
    private void GoOn(FrameStatus status)
    {
        if (status == FrameStatus.Damaged) throw Damaged();
        if (status == FrameStatus.End)
        {
            CloseFile();
            return;
        }
        if (_window.IsFinal) throw new InvalidOperationException($"{typeof(TFraming).Name} asks for more than there is");
        Guard(static stream =>
        {
            stream._window.Extend(stream._frame.NeededIn(stream._fileName, stream._offset, stream._window.Span.Length));
            return true;
        });
    }

    // What can't be read on is lost up to the next file.
    private bool Guard(Func<RecordStream<TFraming>, bool> read)
    {
        try
        {
            return read(this);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            long record = _record;
            Lose();
            if (e is DataFormatException damage) throw damage.At(_name, record);
            throw;
        }
    }

    private DataFormatException Damaged()
    {
        DataFormatException error = new(_fileName, _offset + _frame.ProblemStart, $"{_name}, record {_record}: {_frame.Problem}");
        if (_frame.Delimiter < 0 && _frame.ByteCount == 0) Lose();
        else Guard(static stream => stream.PassDamaged());
        return error;
    }

    private bool PassDamaged()
    {
        if (_frame.Delimiter >= 0)
        {
            Pass(SkipThrough((byte)_frame.Delimiter, _frame.ProblemStart));
            return true;
        }
        bool hasNext = _window.Skip(_frame.ByteCount);
        Pass(_frame.ByteCount);
        // A file that ends before has no next record, and no such offset to go on from.
        if (!hasNext) CloseFile();
        return hasNext;
    }

    private long SkipThrough(byte delimiter, long start)
    {
        long skipped = start;
        if (!_window.Skip(start)) return skipped;
        int found;
        while ((found = _window.Span.IndexOf(delimiter)) < 0)
        {
            int length = _window.Span.Length;
            skipped += length;
            _window.Skip(length);
            if (_window.IsFinal) return skipped;
            _window.Extend(1);
        }
        _window.Skip(found + 1);
        return skipped + found + 1;
    }

    private void Pass(long byteCount)
    {
        _offset += byteCount;
        _record++;
        _isLastHere = true;
    }

    // The rest of the file can't be read: that counts as one element.
    private void Lose()
    {
        SourceLocation lost = new(_fileName, _offset, _record);
        _record++;
        CloseFile();
        _last = lost;
    }

    private void CloseFile()
    {
        _last = Source;
        _isLastHere = false;
        _window.Close();
        _isOpen = false;
        _file++;
        _before += _record;
        _offset = _record = 0;
    }
}
