using System.Globalization;

namespace DistTrain.Runtime;

/// <summary>
/// Whether the servers of one model hold the same updates. A worker pushes to one behind the other, so each may be a push of every worker apart from the first, and one more for each worker that died
/// in between. What is further apart went on from another update than the first did.
/// </summary>
internal static class ServerDrift
{
    /// <param name="servers">Their names; the first one decides which steps are done.</param>
    /// <param name="before">The first one's updates before the others were asked.</param>
    /// <param name="statistics">How each stands.</param>
    /// <param name="after">The first one's updates after the others were asked.</param>
    /// <returns>A line for each server that is further from the first than pushes on their way explain.</returns>
    internal static IReadOnlyList<string> Describe(IReadOnlyList<string> servers, long before, IReadOnlyList<ParameterServerStatistics> statistics, long after)
    {
        List<string> lines = [];
        int underway = statistics.Max(server => server.WorkerCount);
        for (int i = 1; i < servers.Count; i++)
        {
            long version = statistics[i].Version;
            if (before - version > underway)
                lines.Add(string.Create(CultureInfo.InvariantCulture, $"{servers[i]} stands at update {version:N0}, {servers[0]} at {before:N0}: {before - version:N0} updates are missing in the variables of the one that is behind, and are not made again"));
            else if (version - after > underway)
                lines.Add(string.Create(CultureInfo.InvariantCulture, $"{servers[0]} stands at update {after:N0}, {servers[i]} at {version:N0}: steps of {version - after:N0} updates are given out again, and the one that is ahead gets them twice"));
        }
        return lines;
    }
}
