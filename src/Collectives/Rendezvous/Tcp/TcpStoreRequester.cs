using System.Text;

namespace DistTrain.Collectives;

/// <summary>Brings a client's requests to the server and their answers back, over as many connections as that takes.</summary>
internal sealed class TcpStoreRequester(string description, TcpStoreDialer dialer, TimeSpan requestTimeout) : IDisposable
{
    // How long a server may take to say what is missing, which it does at once if it is well.
    private static readonly TimeSpan CancelGrace = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Slice = TimeSpan.FromMilliseconds(50);
    private readonly Lock _dialing = new(), _changing = new();
    private readonly CancellationTokenSource _closing = new();
    private volatile TcpStoreLink? _link;
    private byte[]? _instance;
    private volatile bool _hasWritten;
    private bool _isDisposed;
    private volatile string? _failure;
    private volatile int _forgottenCount;
    private ulong _number;

    internal void Connect(Deadline deadline) => FindLink(deadline);

    /// <summary>A request that is answered at once.</summary>
    internal byte[] Ask(StoreVerb verb, byte[] key) => Call(verb, [key], [], new Deadline(requestTimeout)).Body;

    /// <summary>A request that changes a key. One at a time: the server remembers a client's last one only.</summary>
    internal byte[] Change(StoreVerb verb, byte[] key, ReadOnlySpan<byte> body)
    {
        var deadline = new Deadline(requestTimeout);
        if (!_changing.TryEnter(requestTimeout)) throw NoAnswer(requestTimeout);
        try
        {
            byte[] answer = Call(verb, [key], body, deadline).Body;
            _hasWritten = true;
            return answer;
        }
        finally
        {
            _changing.Exit();
        }
    }

    /// <summary>A request that waits for keys.</summary>
    /// <returns>Whether some are missing, and the value or what is missing.</returns>
    internal (bool Missing, byte[] Body) Await(StoreVerb verb, byte[][] keys, Deadline deadline) => Call(verb, keys, [], deadline);

    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, true)) return;
        _closing.Cancel();
        lock (_dialing)
        {
            _link?.Send(StoreRequest.Encode(0, StoreVerb.Leave, [], []));
            _link?.Dispose();
            _link = null;
        }
        _closing.Dispose();
    }

    private (bool Missing, byte[] Body) Call(StoreVerb verb, byte[][] keys, ReadOnlySpan<byte> body, Deadline deadline)
    {
        ulong number = Interlocked.Increment(ref _number);
        byte[] payload = StoreRequest.Encode(number, verb, keys, body);
        int? forgottenCount = null;
        while (true)
        {
            TcpStoreLink link = FindLink(deadline);
            if (StoreRequest.IsChange(verb) && (forgottenCount ??= _forgottenCount) != _forgottenCount)
                throw new RendezvousException($"{description}: the connection was cut for so long that it is not known whether the change of '{Encoding.UTF8.GetString(keys[0])}' was made");
            TcpStorePending pending = link.Begin(number, payload);
            bool hasEnded = Wait(link, pending, number, verb, deadline);
            if (pending.Answer is { } answer) return Read(answer);
            // Cut off: again, as long as there is time.
            if (!hasEnded) throw NoAnswer(deadline.Timeout);
        }
    }

    /// <returns>Whether the request has ended, with or without an answer.</returns>
    private bool Wait(TcpStoreLink link, TcpStorePending pending, ulong number, StoreVerb verb, Deadline deadline)
    {
        bool canWait = verb is StoreVerb.Get or StoreVerb.Wait;
        try
        {
            if (pending.Wait(deadline.Left, deadline.CancellationToken)) return true;
            if (canWait)
            {
                link.Send(StoreRequest.Encode(number, StoreVerb.Cancel, [], []));
                if (pending.Wait(requestTimeout < CancelGrace ? requestTimeout : CancelGrace, deadline.CancellationToken)) return pending.Answer is not null;
            }
            // A server that doesn't answer in all that time is none; the next call looks for it anew.
            link.Lose();
            return pending.Answer is not null;
        }
        catch (OperationCanceledException)
        {
            link.Forget(number);
            if (canWait) link.Send(StoreRequest.Encode(number, StoreVerb.Cancel, [], []));
            throw;
        }
    }

    private static (bool Missing, byte[] Body) Read((StoreStatus Status, byte[] Body) answer) => answer.Status switch
    {
        StoreStatus.Done => (false, answer.Body),
        StoreStatus.Missing => (true, answer.Body),
        _ => throw new RendezvousException(Encoding.UTF8.GetString(answer.Body)),
    };

    private RendezvousTimeoutException NoAnswer(TimeSpan timeout) => new($"{description} did not answer within {timeout.TotalSeconds:0.###} s: its process is stopped, overloaded or cut off");

    private TcpStoreLink FindLink(Deadline deadline)
    {
        if (_link is { IsLost: false } link) return link;
        while (!_dialing.TryEnter(deadline.Left < Slice ? deadline.Left : Slice))
        {
            deadline.CancellationToken.ThrowIfCancellationRequested();
            if (deadline.IsOver) throw NoAnswer(deadline.Timeout);
        }
        try
        {
            ObjectDisposedException.ThrowIf(Volatile.Read(ref _isDisposed), typeof(TcpStoreClient));
            if (_failure is not null) throw new RendezvousException(_failure);
            return _link is { IsLost: false } other ? other : Dial(deadline);
        }
        finally
        {
            _dialing.Exit();
        }
    }

    private TcpStoreLink Dial(Deadline deadline)
    {
        _link?.Dispose();
        _link = null;
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.CancellationToken, _closing.Token);
        TcpStoreWelcome welcome;
        try
        {
            welcome = dialer.Dial(deadline.With(either.Token));
        }
        catch (OperationCanceledException) when (Volatile.Read(ref _isDisposed))
        {
            throw new ObjectDisposedException(nameof(TcpStoreClient));
        }
        catch (OperationCanceledException failure)
        {
            throw new OperationCanceledException(failure.Message, failure, deadline.CancellationToken);
        }
        bool isSame = _instance is null || welcome.Instance.AsSpan().SequenceEqual(_instance);
        if (!isSame && _hasWritten)
        {
            welcome.Dispose();
            _failure = $"{description} was started anew, and the keys that this process had set are gone: meet again with a new client";
            throw new RendezvousException(_failure);
        }
        if (_instance is not null && isSame && !welcome.IsKnown) _forgottenCount++;
        _instance = welcome.Instance;
        return _link = new TcpStoreLink(welcome, requestTimeout);
    }
}
