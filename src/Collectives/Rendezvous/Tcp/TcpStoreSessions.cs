using System.Diagnostics;

namespace DistTrain.Collectives;

/// <summary>The clients of a TCP store across their connections. One that is cut off is remembered for a while, one that leaves is not. Belongs to the server's thread.</summary>
internal sealed class TcpStoreSessions(TimeSpan timeout)
{
    private const int MaxLostCount = 4096;
    private readonly Dictionary<UInt128, Entry> _entries = [];
    private readonly Queue<(UInt128 Id, long LostAt)> _lost = new();

    internal int Count => _entries.Count;

    /// <summary>Whether a client has a connection, as far as is known here; another one of its own takes that one's place.</summary>
    internal bool IsConnected(UInt128 id) => _entries.TryGetValue(id, out Entry? entry) && entry.Connection is not null;

    /// <summary>Gives a connection its client's session, and the client's earlier connection if that is still there.</summary>
    internal (StoreSession Session, bool IsKnown, TcpStoreConnection? Earlier) Attach(UInt128 id, TcpStoreConnection connection)
    {
        bool isKnown = _entries.TryGetValue(id, out Entry? entry);
        TcpStoreConnection? earlier = entry?.Connection;
        if (entry is null) _entries.Add(id, entry = new Entry());
        (entry.Connection, entry.LostAt) = (connection, 0);
        return (entry.Session, isKnown, earlier);
    }

    /// <summary>A connection ended. Its client may come back, unless it said that it leaves or has come back already.</summary>
    internal void Detach(TcpStoreConnection connection)
    {
        if (!_entries.TryGetValue(connection.SessionId, out Entry? entry) || entry.Connection != connection) return;
        if (connection.HasLeft)
        {
            _entries.Remove(connection.SessionId);
            return;
        }
        (entry.Connection, entry.LostAt) = (null, Stopwatch.GetTimestamp());
        _lost.Enqueue((connection.SessionId, entry.LostAt));
    }

    /// <summary>Forgets those that have been away for too long, and the longest away if there are too many.</summary>
    internal void Sweep()
    {
        while (_lost.TryPeek(out (UInt128 Id, long LostAt) oldest) && (_lost.Count > MaxLostCount || Stopwatch.GetElapsedTime(oldest.LostAt) > timeout))
        {
            _lost.Dequeue();
            if (_entries.TryGetValue(oldest.Id, out Entry? entry) && entry.Connection is null && entry.LostAt == oldest.LostAt) _entries.Remove(oldest.Id);
        }
    }

    private sealed class Entry
    {
        internal StoreSession Session { get; } = new();

        internal TcpStoreConnection? Connection { get; set; }

        internal long LostAt { get; set; }
    }
}
