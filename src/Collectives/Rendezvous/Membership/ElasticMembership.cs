using System.Security.Cryptography;

namespace DistTrain.Collectives;

/// <summary>
/// A node's part in an elastic group: launchers that come, go and die while the job runs. A round begins when enough nodes are there and either no more fit or none came for a while; it ends when
/// a node leaves, fails or joins, or a member asks for it, and then all who are left join the next one. All is agreed on in one key of a store by compare-exchange; no node is special. From the
/// first <see cref="Join"/> a thread shows that this node lives and watches others. Thread-safe.
/// </summary>
public sealed class ElasticMembership : IDisposable
{
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(200), ChangeTimeout = TimeSpan.FromSeconds(60);
    private readonly IRendezvousStore _store;
    private readonly ElasticMembershipOptions _options;
    private readonly string _group;
    private readonly ulong _incarnation = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
    private readonly MembershipWatch _watch;
    private readonly CancellationTokenSource _closing = new();
    private readonly Lock _starting = new(), _seeing = new();
    private Thread? _thread;
    private volatile MembershipState? _seen;
    private volatile Exception? _failure;

    /// <summary>Prepares to take part; nothing is said to others yet.</summary>
    /// <param name="store">The store, which must outlive this.</param>
    /// <param name="group">The group's name in the store, at most 64 bytes of UTF-8.</param>
    /// <param name="node">This node.</param>
    /// <param name="options">When rounds form and nodes count as lost; must be equal on all nodes.</param>
    public ElasticMembership(IRendezvousStore store, string group, MembershipNode node, ElasticMembershipOptions options)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentException.ThrowIfNullOrEmpty(group);
        ArgumentNullException.ThrowIfNull(node);
        ArgumentNullException.ThrowIfNull(options);
        node.Check();
        options.Check();
        if (RendezvousLimits.Encode(group).Length > MembershipNode.MaxIdByteCount) throw new ArgumentException($"the group's name '{group}' is longer than {MembershipNode.MaxIdByteCount} bytes", nameof(group));
        (_store, _group, Node, _options, _watch) = (store, group, node, options, new MembershipWatch(options));
    }

    /// <summary>This node.</summary>
    public MembershipNode Node { get; }

    private string StateKey => $"membership/{_group}";

    private string Where => $"elastic group '{_group}' over {_store.Description}";

    /// <summary>Takes part in the next round: blocks until it begins. Ends the round that runs, if this node is a member of it or there is room for it.</summary>
    /// <exception cref="RendezvousTimeoutException">No round began in time; the message says who is there and who is missing.</exception>
    /// <exception cref="RendezvousException">The group has ended, has other numbers of nodes, or another process took this node's id.</exception>
    /// <exception cref="OperationCanceledException">The token ended the wait.</exception>
    public MembershipRound Join(TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        RendezvousLimits.CheckTimeout(timeout);
        Start();
        try
        {
            return AwaitRound(new Deadline(timeout, cancellationToken));
        }
        catch (Exception failure) when (failure is RendezvousTimeoutException or OperationCanceledException)
        {
            Withdraw();
            throw;
        }
    }

    /// <summary>Whether a round is over, so that this node's ranks should stop and it should join again. Never blocks: says what was known at the last beat.</summary>
    /// <exception cref="RendezvousException">The store can't be reached, so that nobody knows.</exception>
    public bool IsOver(MembershipRound round)
    {
        ArgumentNullException.ThrowIfNull(round);
        if (_failure is { } failure) throw new RendezvousException($"{Where}: {failure.Message}", failure);
        return _seen is { } seen && (seen.Round != round.Number || seen.RoundOf(Node.Id, _incarnation) is null);
    }

    /// <summary>Ends a round so that its nodes form another; nothing happens if it is over already.</summary>
    /// <param name="round">The round.</param>
    /// <param name="hasFailed">Whether it counts as a failure.</param>
    public void RequestRound(MembershipRound round, bool hasFailed = false)
    {
        ArgumentNullException.ThrowIfNull(round);
        Change(state => state.Restart(round.Number, hasFailed));
    }

    /// <summary>Says that this node goes for good: it can't join any more. Its round is over. Does nothing to the group if it takes no part.</summary>
    /// <param name="hasFailed">Whether because it failed.</param>
    public void Leave(bool hasFailed = false)
    {
        Stop();
        Change(state => state.Leave(Node.Id, _incarnation, hasFailed));
        _store.Delete(BeatKey(Node.Id));
    }

    /// <summary>Says that another node of a round is lost, when this is known before its beats stop.</summary>
    public void ReportLoss(MembershipRound round, int nodeRank)
    {
        ArgumentNullException.ThrowIfNull(round);
        string id = round.Nodes[nodeRank].Id;
        Change(state => state.Round == round.Number && state.IndexOf(id) is >= 0 and int index ? state.Leave(id, state.Entries[index].Incarnation, hasFailed: true) : state);
    }

    /// <summary>
    /// Says that the job is done: no round begins any more, and who waits in <see cref="Join"/> gets an error. Meant for when the ranks of all nodes have ended well, for instance behind a
    /// <see cref="RendezvousExchange.Barrier"/> of the nodes.
    /// </summary>
    public void End()
    {
        Change(state => state.End());
        Stop();
        _store.Delete(BeatKey(Node.Id));
    }

    /// <summary>Ends the thread, which takes as long as a call of the store that it may be in. Others take this node for lost after the beat timeout, unless it has left before.</summary>
    public void Dispose()
    {
        Stop();
        _closing.Dispose();
    }

    private string BeatKey(string id) => $"membership/{_group}/beat/{id}";

    private void Start()
    {
        lock (_starting)
        {
            ObjectDisposedException.ThrowIf(_closing.IsCancellationRequested, this);
            if (_thread is not null) return;
            _thread = new Thread(Beat, maxStackSize: 256 * 1024) { IsBackground = true, Name = $"beat {Node.Id}" };
            _thread.Start();
        }
    }

    private void Stop()
    {
        lock (_starting)
        {
            if (_closing.IsCancellationRequested) return;
            _closing.Cancel();
            _thread?.Join();
        }
    }

    private void Beat()
    {
        while (!_closing.IsCancellationRequested)
        {
            try
            {
                _store.Add(BeatKey(Node.Id), 1);
                MembershipState state = Read();
                foreach (MembershipEntry silent in _watch.Look(MembershipWatch.Watched(state, Node.Id), id => _store.TryGet(BeatKey(id), out byte[]? beat) ? beat : null))
                    state = Change(current => current.Leave(silent.Node.Id, silent.Incarnation, hasFailed: true));
                See(state);
                _failure = null;
            }
#pragma warning disable CA1031 // Whatever it is, who asks whether the round is over gets it.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                _failure = failure;
            }
            _closing.Token.WaitHandle.WaitOne(_options.BeatInterval);
        }
    }

    private MembershipRound AwaitRound(Deadline deadline)
    {
        var lastCall = new Deadline(_options.LastCall);
        var pause = new PollPause(_options.BeatInterval < LongestPause ? _options.BeatInterval : LongestPause);
        bool hasJoined = false;
        MembershipState? before = null;
        while (true)
        {
            deadline.CancellationToken.ThrowIfCancellationRequested();
            MembershipState state = hasJoined ? Read() : Change(current => current.Join(Node, _incarnation));
            if (state.Phase == MembershipPhase.Ended) throw new RendezvousException($"{Where}: the group has ended");
            if (hasJoined) CheckThatIdIsOurs(state);
            hasJoined = state.Find(Node.Id, _incarnation) is { IsHere: true };
            if (hasJoined && state.RoundOf(Node.Id, _incarnation) is { } round)
            {
                See(state);
                return round;
            }
            if (state.Change != before?.Change) lastCall = new Deadline(_options.LastCall);
            before = state;
            if (hasJoined && state.CanBegin && (state.IsFull || lastCall.IsOver)) Begin(state);
            else if (deadline.IsOver) throw TooLate(state, deadline.Timeout);
            else pause.Wait(deadline.Left, deadline.CancellationToken);
        }
    }

    /// <summary>A wait that was given up: the others must not begin with a node that is not coming.</summary>
    private void Withdraw()
    {
        try
        {
            Change(state => state.Leave(Node.Id, _incarnation, hasFailed: false));
        }
        catch (RendezvousException)
        {
            // The store is gone, and the group with it.
        }
    }

    /// <summary>Two threads read the state; the older of two is no news.</summary>
    private void See(MembershipState state)
    {
        lock (_seeing)
            if (_seen is null || state.Change >= _seen.Change) _seen = state;
    }

    /// <summary>Begins the round only if nothing has changed since: who came or went in between has its say first.</summary>
    private void Begin(MembershipState state) => _store.CompareExchange(StateKey, MembershipCode.Encode(state), MembershipCode.Encode(state.Begin()));

    private MembershipState Read() => Decode(_store.TryGet(StateKey, out byte[]? value) ? value : null);

    private MembershipState Decode(byte[]? value)
    {
        if (value is null) return new MembershipState { MinNodeCount = _options.MinNodeCount, MaxNodeCount = _options.MaxNodeCount };
        MembershipState state = MembershipCode.Decode(value, $"{_store.Description}, key '{StateKey}'");
        if (state.MinNodeCount == _options.MinNodeCount && state.MaxNodeCount == _options.MaxNodeCount) return state;
        throw new RendezvousException(
            $"{Where}: has {state.MinNodeCount} to {state.MaxNodeCount} nodes, this node was started for {_options.MinNodeCount} to {_options.MaxNodeCount}; start all with the same numbers");
    }

    private MembershipState Change(Func<MembershipState, MembershipState> change)
    {
        var deadline = new Deadline(ChangeTimeout);
        var pause = new PollPause();
        while (true)
        {
            byte[]? value = _store.TryGet(StateKey, out byte[]? found) ? found : null;
            MembershipState state = Decode(value);
            MembershipState next = change(state);
            if (ReferenceEquals(next, state) || _store.CompareExchange(StateKey, value, MembershipCode.Encode(next))) return next;
            if (deadline.IsOver) throw new RendezvousTimeoutException($"{Where}: others changed its state for {ChangeTimeout.TotalSeconds:0} s without a pause");
            pause.Wait(deadline.Left, CancellationToken.None);
        }
    }

    private void CheckThatIdIsOurs(MembershipState state)
    {
        int index = state.IndexOf(Node.Id);
        if (index >= 0 && state.Entries[index].Incarnation != _incarnation)
            throw new RendezvousException($"{Where}: another process came as node '{Node.Id}': each node needs an id of its own");
    }

    private RendezvousTimeoutException TooLate(MembershipState state, TimeSpan timeout)
    {
        string here = Name(state.Entries.Where(entry => entry.IsHere)), awaited = Name(state.Entries.Where(entry => !entry.IsHere));
        string what = state.Phase == MembershipPhase.Running
            ? $"round {state.Round} runs with all of the {state.MaxNodeCount} nodes that it takes: {here}"
            : $"round {state.Round} has {state.HereCount} of at least {state.MinNodeCount} nodes: {here}; has not come back: {awaited}";
        return new RendezvousTimeoutException($"{Where}: no round began with node '{Node.Id}' within {timeout.TotalSeconds:0.###} s; {what}");
    }

    private static string Name(IEnumerable<MembershipEntry> entries) => string.Join(", ", entries.Select(entry => entry.Node.Id)) is { Length: > 0 } names ? names : "none";
}
