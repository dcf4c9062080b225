using System.Diagnostics;

namespace DistTrain.Collectives;

/// <summary>
/// Tells which nodes show no more life. A node adds to its counter in the store; who watches it measures by its own clock how long the counter stood still, so clocks of hosts are never compared.
/// Time in which the watcher itself did not look, because it was stopped or the store could not be reached, counts for little.
/// </summary>
internal sealed class MembershipWatch(ElasticMembershipOptions options)
{
    // Each node is watched by as many others, so that one's death is noticed though a watcher died with it; not by all, so that the store's work stays in proportion.
    internal const int WatchedCount = 3;
    private readonly Dictionary<(string Id, ulong Incarnation), Sight> _sights = [];
    private long _lastLook = Stopwatch.GetTimestamp();

    /// <returns>Those that a node is to watch: the next ones after it, in a ring.</returns>
    internal static IEnumerable<MembershipEntry> Watched(MembershipState state, string id)
    {
        int index = state.IndexOf(id);
        int count = index < 0 ? 0 : int.Min(WatchedCount, state.Entries.Count - 1);
        return Enumerable.Range(1, count).Select(step => state.Entries[(index + step) % state.Entries.Count]);
    }

    /// <summary>Looks once.</summary>
    /// <param name="watched">Whom to look at.</param>
    /// <param name="read">Reads a node's counter; null: it has none.</param>
    /// <returns>Those that have been still for too long.</returns>
    internal List<MembershipEntry> Look(IEnumerable<MembershipEntry> watched, Func<string, byte[]?> read)
    {
        TimeSpan sinceLook = Stopwatch.GetElapsedTime(_lastLook), longest = 2 * options.BeatInterval;
        _lastLook = Stopwatch.GetTimestamp();
        if (sinceLook > longest) sinceLook = longest;
        var before = new Dictionary<(string Id, ulong Incarnation), Sight>(_sights);
        _sights.Clear();
        var silent = new List<MembershipEntry>();
        foreach (MembershipEntry entry in watched)
        {
            byte[]? beat = read(entry.Node.Id);
            (string Id, ulong Incarnation) key = (entry.Node.Id, entry.Incarnation);
            bool isStill = before.TryGetValue(key, out Sight last) && StoreTable.AreEqual(last.Beat, beat);
            TimeSpan silence = isStill ? last.Silence + sinceLook : TimeSpan.Zero;
            _sights[key] = new Sight(beat, silence);
            if (silence > options.BeatTimeout) silent.Add(entry);
        }
        return silent;
    }

    private readonly record struct Sight(byte[]? Beat, TimeSpan Silence);
}
