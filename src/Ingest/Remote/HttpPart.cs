namespace DistTrain.Ingest;

/// <summary>
/// A stretch of a file on its way: filled in the background, over as many requests as it takes, and read from the front while it fills. Its buffer goes
/// back to the pool when the part has been released and nobody uses it any more. Filling is asynchronous: with many parts of many files under way, none holds a thread.
/// </summary>
internal sealed class HttpPart
{
    /// <summary>What <see cref="Read"/> answers if the part has been given up: its bytes must be asked for anew.</summary>
    internal const int GivenUp = -1;

    private readonly object _gate = new();
    private readonly HttpFile _file;
    private readonly HttpPartPool _pool;
    private readonly CancellationTokenSource _stop;
    private byte[]? _buffer;
    private int _filled, _userCount;
    private bool _isDone, _isReleased;
    private Exception? _failure;

    /// <param name="file">Where the bytes come from.</param>
    /// <param name="pool">Where the buffer comes from.</param>
    /// <param name="offset">The first byte.</param>
    /// <param name="length">How many; they must be there.</param>
    /// <param name="stop">Ends the filling at once.</param>
    internal HttpPart(HttpFile file, HttpPartPool pool, long offset, int length, CancellationToken stop)
    {
        _file = file;
        _pool = pool;
        _buffer = pool.Rent(length);
        _stop = CancellationTokenSource.CreateLinkedTokenSource(stop);
        (Offset, Length) = (offset, length);
    }

    internal long Offset { get; }

    internal int Length { get; }

    internal long End => Offset + Length;

    /// <summary>Starts to fill the part.</summary>
    /// <param name="opened">An answer that already brings the first bytes; null to ask.</param>
    internal void Start(HttpBody? opened = null)
    {
        lock (_gate) _userCount++;
        _ = FillAsync(opened);
    }

    /// <summary>Copies bytes from <paramref name="offset"/> on; waits until there is one, or until all that are wanted are there.</summary>
    /// <returns>Bytes copied, at least one; or <see cref="GivenUp"/>.</returns>
    /// <exception cref="RemoteReadException">The bytes could not be had.</exception>
    internal int Read(long offset, Span<byte> destination, bool isWhole, CancellationToken cancellation)
    {
        int start = (int)(offset - Offset), wanted = Math.Min(destination.Length, Length - start);
        lock (_gate)
        {
            if (_isReleased) return GivenUp;
            _userCount++;
        }
        try
        {
            int there = Wait(start + (isWhole ? wanted : 1), cancellation);
            if (there == GivenUp) return GivenUp;
            // Outside the lock: bytes below the mark don't change, and the buffer stays as long as this reader is counted.
            int count = Math.Min(wanted, there - start);
            _buffer.AsSpan(start, count).CopyTo(destination);
            return count;
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Gives the part up: stops the filling; the buffer goes back once nobody uses it.</summary>
    internal void Release()
    {
        lock (_gate)
        {
            if (_isReleased) return;
            _isReleased = true;
            _userCount++;
        }
        _stop.Cancel();
        Leave();
    }

    private int Wait(int needed, CancellationToken cancellation)
    {
        if (Volatile.Read(ref _filled) >= needed) return Volatile.Read(ref _filled);
        using CancellationTokenRegistration registration = cancellation.UnsafeRegister(static part => ((HttpPart)part!).WakeReaders(), this);
        lock (_gate)
        {
            while (_filled < needed && !_isDone)
            {
                cancellation.ThrowIfCancellationRequested();
                Monitor.Wait(_gate);
            }
            return _filled >= needed ? _filled : _failure is OperationCanceledException ? GivenUp : throw Failure();
        }
    }

    // To each reader an exception of its own: one object thrown on several threads would mix their stack traces.
    private RemoteReadException Failure() => _failure is RemoteReadException known
        ? new RemoteReadException(known.Address, known.Offset, known.Status, known.AttemptCount, known.Problem, known.InnerException)
        : new RemoteReadException(_file.Name, Offset + _filled, null, 1, _failure!.Message, _failure);

    // Never throws: whoever reads gets the failure.
    private async Task FillAsync(HttpBody? opened)
    {
        // The caller may hold a lock, and bytes that are there already would be read in its time.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        Exception? failure = null;
        try
        {
            HttpAttempts attempts = new(_file);
            while (_filled < Length)
            {
                HttpBody? body = opened;
                opened = null;
                HttpFailure? failed = await attempts.TryAsync(watch => ReceiveAsync(body, attempts, watch), _stop.Token).ConfigureAwait(false);
                if (failed is not null) await attempts.WaitAsync(failed, Offset + _filled, _stop.Token).ConfigureAwait(false);
            }
        }
        catch (Exception thrown) when (thrown is RemoteReadException or OperationCanceledException)
        {
            failure = thrown;
        }
        if (failure is not null) Finish(failure);
    }

    private async Task ReceiveAsync(HttpBody? opened, HttpAttempts attempts, HttpWatch watch)
    {
        using HttpBody body = opened ?? await _file.OpenAsync(Offset + _filled, End, watch.Token).ConfigureAwait(false);
        if (!body.IsRange) throw new HttpFailure("the server gave ranges of the file before and now gives only the whole", isTransient: false);
        int read;
        // A server may give less than it was asked for: the rest is the next request's.
        for (; _filled < Length; Add(read))
        {
            watch.ExpectBytes();
            read = await body.ReadAsync(_buffer.AsMemory(_filled, Length - _filled), watch.Token).ConfigureAwait(false);
            if (read == 0) return;
            attempts.Progress(read);
        }
    }

    private void Add(int read)
    {
        bool isFull;
        lock (_gate)
        {
            isFull = _filled + read == Length;
            // Of a full part the reader must find that nobody writes any more: it gives the buffer back and asks for the next part.
            if (!isFull)
            {
                _filled += read;
                Monitor.PulseAll(_gate);
            }
        }
        if (isFull) Finish(null);
    }

    private void Finish(Exception? failure)
    {
        lock (_gate)
        {
            if (failure is null) _filled = Length;
            (_isDone, _failure) = (true, failure);
            _userCount--;
            Monitor.PulseAll(_gate);
        }
        ReturnIfUnused();
    }

    private void WakeReaders()
    {
        lock (_gate) Monitor.PulseAll(_gate);
    }

    private void Leave()
    {
        lock (_gate) _userCount--;
        ReturnIfUnused();
    }

    private void ReturnIfUnused()
    {
        byte[]? buffer = null;
        lock (_gate)
        {
            if (_userCount == 0 && _isReleased) (buffer, _buffer) = (_buffer, null);
        }
        if (buffer is null) return;
        _pool.Return(buffer, Length);
        _stop.Dispose();
    }
}
