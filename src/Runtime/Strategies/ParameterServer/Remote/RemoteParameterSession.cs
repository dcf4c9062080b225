namespace DistTrain.Runtime;

/// <summary>A worker's session at a server elsewhere: one connection at a time, made again when it breaks. What a broken connection left open is asked again; the server knows each push by its number.</summary>
internal sealed class RemoteParameterSession(RemoteEndPoint server, OpenMessage open) : IParameterSession
{
    /// <summary>A vector's bytes are counted in 31 bits.</summary>
    internal const long MaxElementCount = int.MaxValue / sizeof(float);

    // A connection that stood for so long had nothing wrong with it: what breaks it is a new trouble.
    private static readonly TimeSpan s_soundAge = TimeSpan.FromSeconds(10);

    private readonly RemoteDialer _dialer = new(server, open);
    private readonly Lock _lock = new();
    private RemoteConnection? _connection;
    private Guid _instance, _versionsFrom;
    private bool _hasSeenValues, _isDisposed;
    private int _isBusy;
    private uint _request;
    private long _pushNumber;

    public VariableLayout Layout => open.Layout;

    public async ValueTask<bool> InitializeAsync(ReadOnlyMemory<float> values, CancellationToken cancellation = default)
    {
        CheckLength(values.Length);
        RemoteAnswer answer = await CallAsync(new RemoteCall(FrameKind.Initialize) { Sent = values }, cancellation).ConfigureAwait(false);
        _hasSeenValues = true;
        return answer.Number != 0;
    }

    public async ValueTask<long> TakeStepAsync(long stepCount, CancellationToken cancellation = default) =>
        (await CallAsync(new RemoteCall(FrameKind.TakeStep, stepCount), cancellation).ConfigureAwait(false)).Number;

    public async ValueTask<long> PullAsync(Memory<float> values, long newerThan = -1, CancellationToken cancellation = default)
    {
        CheckLength(values.Length);
        RemoteAnswer answer = await CallAsync(new RemoteCall(FrameKind.Pull, newerThan) { Received = values }, cancellation).ConfigureAwait(false);
        (_hasSeenValues, _versionsFrom) = (true, _instance);
        return answer.Number;
    }

    public async ValueTask<PushResult> PushAsync(GradientPush push, CancellationToken cancellation = default)
    {
        CheckLength(push.Values.Length);
        RemoteAnswer answer = await CallAsync(RemoteCall.Of(++_pushNumber, push), cancellation).ConfigureAwait(false);
        _versionsFrom = _instance;
        return answer.Push;
    }

    public async ValueTask<ParameterServerStatistics> ReadStatisticsAsync(CancellationToken cancellation = default) =>
        (await CallAsync(new RemoteCall(FrameKind.ReadStatistics), cancellation).ConfigureAwait(false)).Statistics!;

    /// <summary>Opens the first connection.</summary>
    internal async ValueTask ConnectAsync(CancellationToken cancellation)
    {
        BackOff backOff = new(server.Options);
        while (true)
        {
            try
            {
                await EstablishAsync(cancellation).ConfigureAwait(false);
                _versionsFrom = _instance;
                return;
            }
            catch (ParameterConnectionException failure)
            {
                await PauseAsync(backOff, failure, cancellation).ConfigureAwait(false);
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
            _connection?.Dispose();
            _connection = null;
        }
    }

    private async ValueTask<RemoteAnswer> CallAsync(RemoteCall call, CancellationToken cancellation)
    {
        if (Interlocked.Exchange(ref _isBusy, 1) != 0) throw new InvalidOperationException($"two calls at once in a session of worker '{open.Worker}': it makes one at a time");
        try
        {
            return await RepeatAsync(call, cancellation).ConfigureAwait(false);
        }
        finally
        {
            Volatile.Write(ref _isBusy, 0);
        }
    }

    private async ValueTask<RemoteAnswer> RepeatAsync(RemoteCall call, CancellationToken cancellation)
    {
        BackOff? backOff = null;
        Guid sentTo = default;
        while (true)
        {
            RemoteConnection? connection = null;
            try
            {
                connection = _connection ?? await EstablishAsync(cancellation).ConfigureAwait(false);
                if (sentTo != default && sentTo != _instance && IsUnrepeatable(call)) return new RemoteAnswer(Push: new PushResult(PushOutcome.Dropped, call.Third, 0));
                sentTo = _instance;
                // Versions that another start of the server had told mean nothing now.
                RemoteCall sent = call.Kind == FrameKind.Pull && _versionsFrom != _instance ? call with { First = -1 } : call;
                using (cancellation.UnsafeRegister(static given => ((RemoteConnection)given!).Abort("the call was cancelled"), connection))
                    return await connection.ExchangeAsync(sent, unchecked(++_request), server.ToString()).ConfigureAwait(false);
            }
            catch (ParameterConnectionException failure)
            {
                if (connection is { Age: var age } && age > s_soundAge) backOff = null;
                Drop(connection);
                cancellation.ThrowIfCancellationRequested();
                await PauseAsync(backOff ??= new BackOff(server.Options), failure, cancellation).ConfigureAwait(false);
            }
        }
    }

    // Without a step to know it by, a push that another start of the server may have saved is not made again.
    private static bool IsUnrepeatable(in RemoteCall call) => call is { Kind: FrameKind.Push, Second: < 0 };

    private async ValueTask<RemoteConnection> EstablishAsync(CancellationToken cancellation)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        RemoteConnection connection = await _dialer.ConnectAsync(cancellation).ConfigureAwait(false);
        lock (_lock)
        {
            if (_isDisposed)
            {
                connection.Dispose();
                throw new ObjectDisposedException(nameof(RemoteParameterSession));
            }
            _connection = connection;
        }
        if (_hasSeenValues && !connection.FoundValues)
        {
            Drop(connection);
            throw new ParameterServerException($"{server} was started again and has no values any more: it keeps no snapshots, or lost them; give the server a folder for checkpoints, and start the job again") { IsRetryable = true };
        }
        _instance = connection.Instance;
        return connection;
    }

    private void Drop(RemoteConnection? connection)
    {
        lock (_lock)
        {
            connection?.Dispose();
            if (_connection == connection) _connection = null;
        }
    }

    private async ValueTask PauseAsync(BackOff backOff, ParameterConnectionException failure, CancellationToken cancellation)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (backOff.IsOver) throw new ParameterServerException($"{server} can't be reached by worker '{open.Worker}': {backOff.TryCount} {(backOff.TryCount == 1 ? "try" : "tries")} in {server.Options.ReconnectTimeout.TotalSeconds:0.#} s, the last one: {failure.Message}", failure) { IsRetryable = true };
        using CancellationTokenSource either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, server.Options.Stopping);
        try
        {
            await Task.Delay(backOff.Next(), either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new ParameterServerException($"{server} was away when worker '{open.Worker}' was told to stop; the last try: {failure.Message}", failure) { IsRetryable = true };
        }
    }

    private void CheckLength(int length)
    {
        if (length != Layout.ElementCount) throw new ArgumentException($"a vector of {length:N0} elements, the server's variables have {Layout.ElementCount:N0}");
    }
}
