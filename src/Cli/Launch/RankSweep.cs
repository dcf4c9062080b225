using System.Diagnostics;

namespace DistTrain.Cli;

/// <summary>
/// Finds what is left of ranks: processes of their groups and sessions, and, as the launcher adopts orphans, those that made themselves daemons. A rank that has ended is not reaped before all
/// this is gone, so its id, group and session can't be anybody else's.
/// </summary>
internal sealed class RankSweep
{
    private const int PollMilliseconds = 20;
    private readonly HashSet<int> _notOurs;

    /// <param name="guardId">The guard, which stays.</param>
    public RankSweep(int guardId) => _notOurs = [guardId, .. ProcessTable.Read().Where(entry => entry.Parent == Environment.ProcessId).Select(entry => entry.Id)];

    public bool IsClean(RankProcess[] ranks) => ranks.All(rank => rank.Exit is not null) && Strays(ranks).Count == 0;

    /// <summary>What still runs beside the ranks themselves. Adopted processes that have ended are reaped on the way.</summary>
    public List<int> Strays(RankProcess[] ranks)
    {
        HashSet<int> ids = [.. ranks.Select(rank => rank.Id)];
        var strays = new List<int>();
        foreach (ProcessEntry entry in ProcessTable.Read())
        {
            if (ids.Contains(entry.Id)) continue;
            bool isAdopted = entry.Parent == Environment.ProcessId && !_notOurs.Contains(entry.Id);
            if (isAdopted && entry.IsZombie) NativeProcess.Reap(entry.Id);
            if (!entry.IsZombie && (isAdopted || ids.Contains(entry.Group) || ids.Contains(entry.Session))) strays.Add(entry.Id);
        }
        return strays;
    }

    public bool AwaitClean(RankProcess[] ranks, TimeSpan timeout, Func<bool> mustEnd)
    {
        long began = Stopwatch.GetTimestamp();
        while (!IsClean(ranks))
        {
            if (Stopwatch.GetElapsedTime(began) >= timeout || mustEnd()) return false;
            Thread.Sleep(PollMilliseconds);
        }
        return true;
    }

    public bool Kill(RankProcess[] ranks, TimeSpan timeout)
    {
        // Again and again: a process may be starting another while it is killed, and what a daemon leaves comes to us only then.
        return AwaitClean(ranks, timeout, () =>
        {
            foreach (RankProcess rank in ranks) rank.Signal(SignalName.Kill);
            foreach (int stray in Strays(ranks)) NativeProcess.Kill(stray, SignalName.Kill);
            return false;
        });
    }
}
