namespace DistTrain.ParameterServer;

/// <summary>Who is connected: those that have yet to prove who they are, oldest first, and workers. Thread-safe.</summary>
internal sealed class ConnectionTable(int maxConnectionCount, int maxGreetingCount)
{
    private readonly Lock _lock = new();
    private readonly LinkedList<WorkerConnection> _greeting = [];
    private readonly HashSet<WorkerConnection> _admitted = [];
    private readonly Dictionary<string, WorkerConnection> _workers = [];
    private bool _isClosed;
    private long _refusalCount;

    /// <summary>Those that have proved who they are.</summary>
    internal int Count
    {
        get
        {
            lock (_lock) return _admitted.Count;
        }
    }

    /// <summary>Connections turned away.</summary>
    internal long RefusalCount => Volatile.Read(ref _refusalCount);

    /// <summary>Who was turned away last, and why.</summary>
    internal string? LastRefusal { get; private set; }

    internal bool IsClosed
    {
        get
        {
            lock (_lock) return _isClosed;
        }
    }

    /// <summary>Takes in a connection that has said nothing yet.</summary>
    /// <returns>False: the server is closing.</returns>
    internal bool TryGreet(WorkerConnection connection)
    {
        WorkerConnection? oldest = null;
        lock (_lock)
        {
            if (_isClosed) return false;
            _greeting.AddLast(connection);
            if (_greeting.Count > maxGreetingCount)
            {
                oldest = _greeting.First!.Value;
                _greeting.RemoveFirst();
            }
        }
        oldest?.Abort("others came while it had not proved who it is");
        return true;
    }

    /// <summary>Takes it in as one of the job's.</summary>
    /// <returns>False: there is no room.</returns>
    internal bool TryAdmit(WorkerConnection connection)
    {
        lock (_lock)
        {
            _greeting.Remove(connection);
            if (_isClosed || _admitted.Count >= maxConnectionCount) return false;
            _admitted.Add(connection);
            return true;
        }
    }

    /// <summary>Gives it a worker's name. An older connection of the same session is ended: its worker is here now.</summary>
    internal void Name(WorkerConnection connection, string worker, Guid session)
    {
        WorkerConnection? old;
        lock (_lock)
        {
            _workers.TryGetValue(worker, out old);
            _workers[worker] = connection;
        }
        if (old is not null && old.Session == session) old.Abort("its worker came back by another connection");
    }

    internal bool IsHere(string worker)
    {
        lock (_lock) return _workers.ContainsKey(worker);
    }

    internal void Remove(WorkerConnection connection)
    {
        lock (_lock)
        {
            _greeting.Remove(connection);
            _admitted.Remove(connection);
            if (connection.Worker is { } worker && _workers.TryGetValue(worker, out WorkerConnection? current) && current == connection) _workers.Remove(worker);
        }
    }

    internal void NoteRefusal(string reason)
    {
        Interlocked.Increment(ref _refusalCount);
        LastRefusal = reason;
    }

    /// <summary>Takes in nobody any more and ends all connections.</summary>
    internal void Close()
    {
        WorkerConnection[] all;
        lock (_lock)
        {
            _isClosed = true;
            all = [.. _greeting, .. _admitted];
        }
        foreach (WorkerConnection connection in all) connection.Abort("the server is shutting down");
    }
}
