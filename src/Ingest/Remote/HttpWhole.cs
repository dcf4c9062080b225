namespace DistTrain.Ingest;

/// <summary>
/// A file from a server that knows no ranges: it comes as a whole, once, in order. Held ahead within the same bound as parts; can be read forward only. A lost connection
/// is taken up again by letting what was read pass by, if the server marks versions.
/// </summary>
internal sealed class HttpWhole : HttpTransfer
{
    private readonly object _gate = new();
    private readonly HttpFile _file;
    private readonly HttpPartPool _pool;
    private readonly CancellationToken _stop;
    private readonly SemaphoreSlim _room;
    private readonly Queue<Piece> _pieces = new();
    private long _start, _end;
    private bool _isDone;
    private Exception? _failure;

    internal HttpWhole(HttpFile file, HttpPartPool pool, HttpBody first, CancellationToken stop)
    {
        _file = file;
        _pool = pool;
        _stop = stop;
        _room = new SemaphoreSlim(file.Options.PartCount);
        _ = FillAsync(first);
    }

    internal override long? Length
    {
        get
        {
            lock (_gate) return _file.Version!.Length ?? (_isDone && _failure is null ? _end : null);
        }
    }

    internal override int Read(long offset, Span<byte> destination, CancellationToken cancellation)
    {
        using CancellationTokenRegistration registration = cancellation.UnsafeRegister(static whole => ((HttpWhole)whole!).Wake(), this);
        lock (_gate)
        {
            Wait(offset, cancellation);
            if (offset >= _end) return 0;
            foreach (Piece piece in _pieces)
            {
                if (offset >= piece.Offset + piece.Filled) continue;
                int start = (int)(offset - piece.Offset), count = Math.Min(destination.Length, piece.Filled - start);
                piece.Buffer.AsSpan(start, count).CopyTo(destination);
                DropBefore(offset + count);
                return count;
            }
            throw new InvalidOperationException("the pieces have a gap");
        }
    }

    public override void Dispose()
    {
        lock (_gate)
        {
            if (_isDone) DropBefore(long.MaxValue);
        }
    }

    // Until the byte is there or can't come any more. Pieces before it are given up: they can't be read again.
    private void Wait(long offset, CancellationToken cancellation)
    {
        while (true)
        {
            cancellation.ThrowIfCancellationRequested();
            ObjectDisposedException.ThrowIf(_stop.IsCancellationRequested, this);
            if (offset < _start)
                throw new RemoteReadException(_file.Name, offset, null, 1, $"the server gives no parts of files, only the whole, which has been read to byte {_start}: there is no way back. Read it in order, or from a server with range requests");
            DropBefore(offset);
            if (offset < _end || _isDone) break;
            Monitor.Wait(_gate);
        }
        if (offset >= _end && _failure is RemoteReadException known)
            throw new RemoteReadException(known.Address, known.Offset, known.Status, known.AttemptCount, known.Problem, known.InnerException);
    }

    private void DropBefore(long offset)
    {
        while (_pieces.TryPeek(out Piece? piece) && piece.IsFull(_isDone) && piece.Offset + piece.Filled <= offset)
        {
            _pieces.Dequeue();
            _start = piece.Offset + piece.Filled;
            _pool.Return(piece.Buffer, piece.Length);
            _room.Release();
        }
    }

    // Never throws: whoever reads gets the failure.
    private async Task FillAsync(HttpBody first)
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        Exception? failure = null;
        HttpBody? opened = first;
        try
        {
            HttpAttempts attempts = new(_file);
            while (true)
            {
                HttpBody? body = opened;
                opened = null;
                HttpFailure? failed = await attempts.TryAsync(watch => ReceiveAsync(body, attempts, watch), _stop).ConfigureAwait(false);
                if (failed is null) break;
                if (!_file.Version!.IsMarked) failed = new HttpFailure($"{failed.Message}; it can't be taken up again: the server gives no parts of files and marks no versions", isTransient: false, failed.Status, null, failed);
                await attempts.WaitAsync(failed, _end, _stop).ConfigureAwait(false);
            }
        }
        catch (Exception thrown) when (thrown is RemoteReadException or OperationCanceledException)
        {
            failure = thrown;
        }
        lock (_gate)
        {
            (_isDone, _failure) = (true, failure);
            if (_stop.IsCancellationRequested) DropBefore(long.MaxValue);
            Monitor.PulseAll(_gate);
        }
    }

    private async Task ReceiveAsync(HttpBody? opened, HttpAttempts attempts, HttpWatch watch)
    {
        using HttpBody body = opened ?? await _file.OpenAsync(_end, long.MaxValue, watch.Token).ConfigureAwait(false);
        while (true)
        {
            Piece piece = await TailAsync(watch).ConfigureAwait(false);
            // What came before the connection was lost comes again, into room that is written over later.
            bool isAgain = body.Offset < _end;
            Memory<byte> room = piece.Buffer.AsMemory(piece.Filled, piece.Length - piece.Filled);
            if (isAgain && _end - body.Offset < room.Length) room = room[..(int)(_end - body.Offset)];
            watch.ExpectBytes();
            int read = await body.ReadAsync(room, watch.Token).ConfigureAwait(false);
            if (read == 0) return;
            if (isAgain) continue;
            attempts.Progress(read);
            lock (_gate)
            {
                piece.Filled += read;
                _end += read;
                Monitor.PulseAll(_gate);
            }
        }
    }

    private async ValueTask<Piece> TailAsync(HttpWatch watch)
    {
        lock (_gate)
        {
            if (_pieces.LastOrDefault() is { } last && !last.IsFull(false)) return last;
        }
        watch.Pause();
        await _room.WaitAsync(watch.Token).ConfigureAwait(false);
        lock (_gate)
        {
            Piece piece = new(_end, _pool.Rent(_file.Options.PartByteCount), _file.Options.PartByteCount);
            _pieces.Enqueue(piece);
            return piece;
        }
    }

    private void Wake()
    {
        lock (_gate) Monitor.PulseAll(_gate);
    }

    private sealed class Piece(long offset, byte[] buffer, int length)
    {
        internal long Offset => offset;

        internal byte[] Buffer => buffer;

        internal int Length => length;

        internal int Filled { get; set; }

        internal bool IsFull(bool isLast) => isLast || Filled == length;
    }
}
