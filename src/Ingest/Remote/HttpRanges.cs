namespace DistTrain.Ingest;

/// <summary>
/// A file in ranges. Whoever reads on in order has several parts asked for ahead; who reads here and there gets just the bytes that were wanted, by a request of
/// their own, and the parts ahead stay.
/// </summary>
internal sealed class HttpRanges : HttpTransfer
{
    // Who has read so much in order is taken to go on; less may be a header here and a record there.
    private const int LongestGlance = 128 << 10;

    private readonly Lock _gate = new();
    private readonly HttpFile _file;
    private readonly HttpPartPool _pool;
    private readonly CancellationToken _stop;
    private readonly long _length;

    // Side by side, in order; the first is the one in reading.
    private readonly Queue<HttpPart> _parts = new();
    private long _askedTo, _runStart, _runEnd;

    /// <param name="file">The file, its version known.</param>
    /// <param name="pool">Where buffers come from.</param>
    /// <param name="first">The first answer, with the file's bytes from where reading begins.</param>
    /// <param name="stop">Ends everything.</param>
    internal HttpRanges(HttpFile file, HttpPartPool pool, HttpBody first, CancellationToken stop)
    {
        _file = file;
        _pool = pool;
        _stop = stop;
        _length = file.Version!.Length!.Value;
        _askedTo = _runStart = _runEnd = first.Offset;
        if (first.Offset < _length) Ask(first);
        else first.Dispose();
    }

    internal override long? Length => _length;

    private bool IsLongRun => _runEnd - _runStart >= Math.Min(LongestGlance, _file.Options.PartByteCount / 2);

    internal override int Read(long offset, Span<byte> destination, CancellationToken cancellation)
    {
        while (offset < _length)
        {
            cancellation.ThrowIfCancellationRequested();
            HttpPart? part;
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_stop.IsCancellationRequested, this);
                part = PartAt(offset);
            }
            int read = part is null ? ReadAlone(offset, destination, cancellation) : ReadAhead(part, offset, destination, cancellation);
            if (read != HttpPart.GivenUp) return read;
        }
        return 0;
    }

    public override void Dispose()
    {
        lock (_gate) Clear();
    }

    private int ReadAhead(HttpPart part, long offset, Span<byte> destination, CancellationToken cancellation)
    {
        int read;
        try
        {
            read = part.Read(offset, destination, isWhole: false, cancellation);
        }
        catch (RemoteReadException)
        {
            // Whoever reads on asks anew.
            lock (_gate) Clear();
            throw;
        }
        if (read == HttpPart.GivenUp) return read;
        lock (_gate)
        {
            NoteRead(offset, read);
            DropBefore(_runEnd);
        }
        return read;
    }

    private int ReadAlone(long offset, Span<byte> destination, CancellationToken cancellation)
    {
        int wanted = (int)Math.Min(Math.Min(destination.Length, _file.Options.PartByteCount), _length - offset);
        HttpPart part = new(_file, _pool, offset, wanted, _stop);
        try
        {
            part.Start();
            int read = part.Read(offset, destination, isWhole: true, cancellation);
            lock (_gate) NoteRead(offset, Math.Max(read, 0));
            return read;
        }
        finally
        {
            part.Release();
        }
    }

    private void NoteRead(long offset, int count)
    {
        if (offset != _runEnd) _runStart = offset;
        _runEnd = offset + count;
    }

    // The part that holds the byte; new parts if a long run goes on; null if this is a jump.
    private HttpPart? PartAt(long offset)
    {
        foreach (HttpPart part in _parts)
        {
            if (offset < part.Offset || offset >= part.End) continue;
            DropBefore(offset);
            return part;
        }
        if (offset != _runEnd || !IsLongRun) return null;
        Clear();
        _askedTo = offset;
        AskAhead();
        return _parts.TryPeek(out HttpPart? first) ? first : null;
    }

    private void DropBefore(long offset)
    {
        while (_parts.TryPeek(out HttpPart? part) && part.End <= offset) _parts.Dequeue().Release();
        AskAhead();
    }

    private void AskAhead()
    {
        if (!IsLongRun) return;
        while (_parts.Count < _file.Options.PartCount && _askedTo < _length && !_stop.IsCancellationRequested) Ask(null);
    }

    private void Ask(HttpBody? opened)
    {
        HttpPart part = new(_file, _pool, _askedTo, (int)Math.Min(_file.Options.PartByteCount, _length - _askedTo), _stop);
        _askedTo = part.End;
        _parts.Enqueue(part);
        part.Start(opened);
    }

    private void Clear()
    {
        while (_parts.TryDequeue(out HttpPart? part)) part.Release();
    }
}
