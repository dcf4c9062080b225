using System.Buffers.Binary;
using System.Text;

namespace DistTrain.Collectives;

/// <summary>Where the answer to a request goes.</summary>
internal interface IStoreCaller
{
    /// <summary>The caller's requests that wait for keys, by number.</summary>
    Dictionary<ulong, StoreWaiter> Waiters { get; }

    /// <summary>What outlives the caller's connection.</summary>
    StoreSession Session { get; }

    void Answer(ulong number, StoreStatus status, ReadOnlySpan<byte> body);
}

/// <summary>A client through all of its connections: its last change and the answer to it, so that a change repeated after a cut is made once.</summary>
internal sealed class StoreSession
{
    internal ulong LastChange { get; set; }

    internal StoreStatus LastStatus { get; set; }

    internal byte[] LastAnswer { get; set; } = [];
}

/// <summary>A request that waits until keys are set.</summary>
internal sealed class StoreWaiter(IStoreCaller caller, ulong number, string[] keys, bool wantsValue)
{
    internal IStoreCaller Caller { get; } = caller;

    internal ulong Number { get; } = number;

    internal string[] Keys { get; } = keys;

    internal bool WantsValue { get; } = wantsValue;

    internal HashSet<string> Missing { get; } = new(StringComparer.Ordinal);
}

/// <summary>Carries out the requests of a TCP store's clients on its table, and wakes those who wait. Not thread-safe: belongs to the server's thread.</summary>
internal sealed class StoreRequests(string description)
{
    /// <summary>Requests of one client that may wait at a time; each may cost a value's memory when it is woken.</summary>
    internal const int MaxWaiterCount = 256;

    private readonly StoreTable _table = new(description);
    private readonly Dictionary<string, HashSet<StoreWaiter>> _waiters = new(StringComparer.Ordinal);

    internal int KeyCount => _table.Count;

    internal int WaiterCount { get; private set; }

    internal void Carry(IStoreCaller caller, in StoreRequest request)
    {
        switch (request.Verb)
        {
            case StoreVerb.Get or StoreVerb.Wait: Await(caller, request); break;
            case StoreVerb.TryGet: caller.Answer(request.Number, StoreStatus.Done, _table.Find(request.Keys[0]) is { } value ? [1, .. value] : [0]); break;
            case StoreVerb.Cancel: Cancel(caller, request.Number); break;
            default: Change(caller, request); break;
        }
    }

    /// <summary>Forgets what a caller waits for.</summary>
    internal void Forget(IStoreCaller caller)
    {
        foreach (StoreWaiter waiter in caller.Waiters.Values.ToArray()) Remove(waiter);
    }

    private void Change(IStoreCaller caller, in StoreRequest request)
    {
        StoreSession session = caller.Session;
        if (request.Number != session.LastChange)
        {
            (session.LastStatus, session.LastAnswer) = Apply(request);
            session.LastChange = request.Number;
        }
        caller.Answer(request.Number, session.LastStatus, session.LastAnswer);
    }

    private (StoreStatus Status, byte[] Answer) Apply(in StoreRequest request)
    {
        string key = request.Keys[0];
        try
        {
            switch (request.Verb)
            {
                case StoreVerb.Set:
                    _table.Set(key, request.Body.ToArray());
                    Wake(key);
                    return (StoreStatus.Done, []);
                case StoreVerb.Add:
                    long sum = _table.Add(key, BinaryPrimitives.ReadInt64LittleEndian(request.Body));
                    Wake(key);
                    return (StoreStatus.Done, StoreTable.WriteCounter(sum));
                case StoreVerb.CompareExchange:
                    request.DecodeExchange(out byte[]? expected, out byte[] value);
                    bool isDone = _table.CompareExchange(key, expected, value);
                    if (isDone) Wake(key);
                    return (StoreStatus.Done, [isDone ? (byte)1 : (byte)0]);
                default:
                    return (StoreStatus.Done, [_table.Delete(key) ? (byte)1 : (byte)0]);
            }
        }
        catch (RendezvousException refusal)
        {
            return (StoreStatus.Failed, Encoding.UTF8.GetBytes(refusal.Message));
        }
    }

    private void Await(IStoreCaller caller, in StoreRequest request)
    {
        var waiter = new StoreWaiter(caller, request.Number, request.Keys, wantsValue: request.Verb == StoreVerb.Get);
        waiter.Missing.UnionWith(request.Keys.Where(key => _table.Find(key) is null));
        if (waiter.Missing.Count == 0)
        {
            Finish(waiter);
        }
        else if (caller.Waiters.Count >= MaxWaiterCount || !caller.Waiters.TryAdd(request.Number, waiter))
        {
            caller.Answer(request.Number, StoreStatus.Failed, Encoding.UTF8.GetBytes($"{description}: one client may wait for {MaxWaiterCount} things at a time"));
        }
        else
        {
            WaiterCount++;
            foreach (string key in waiter.Missing)
            {
                if (!_waiters.TryGetValue(key, out HashSet<StoreWaiter>? others)) _waiters.Add(key, others = []);
                others.Add(waiter);
            }
        }
    }

    private void Cancel(IStoreCaller caller, ulong number)
    {
        // One that has just been answered is not there any more: the answer is on its way.
        if (!caller.Waiters.TryGetValue(number, out StoreWaiter? waiter)) return;
        var missing = new List<byte>();
        for (int i = 0; i < waiter.Keys.Length; i++)
            if (waiter.Missing.Contains(waiter.Keys[i])) missing.AddRange([(byte)i, (byte)(i >> 8)]);
        Remove(waiter);
        caller.Answer(number, StoreStatus.Missing, missing.ToArray());
    }

    private void Wake(string key)
    {
        if (!_waiters.Remove(key, out HashSet<StoreWaiter>? waiters)) return;
        foreach (StoreWaiter waiter in waiters)
        {
            waiter.Missing.Remove(key);
            if (waiter.Missing.Count > 0) continue;
            Remove(waiter);
            Finish(waiter);
        }
    }

    private void Finish(StoreWaiter waiter) => waiter.Caller.Answer(waiter.Number, StoreStatus.Done, waiter.WantsValue ? _table.Find(waiter.Keys[0])! : []);

    private void Remove(StoreWaiter waiter)
    {
        if (waiter.Caller.Waiters.Remove(waiter.Number)) WaiterCount--;
        foreach (string key in waiter.Missing)
        {
            if (!_waiters.TryGetValue(key, out HashSet<StoreWaiter>? others)) continue;
            others.Remove(waiter);
            if (others.Count == 0) _waiters.Remove(key);
        }
    }
}
