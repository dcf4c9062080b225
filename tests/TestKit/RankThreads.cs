using System.Runtime.ExceptionServices;

namespace DistTrain.TestKit;

/// <summary>Runs the ranks of a test, a thread each.</summary>
public static class RankThreads
{
    /// <summary>Returns when all have ended; throws what one of them threw.</summary>
    /// <param name="count">Ranks.</param>
    /// <param name="rank">What each does, by number.</param>
    /// <param name="isConsequence">Whether an exception may come of another rank's failure: others are thrown rather.</param>
    public static void Run(int count, Action<int> rank, Func<Exception, bool> isConsequence)
    {
        Exception?[] failures = new Exception?[count];
        Thread[] threads = [.. Enumerable.Range(0, count).Select(number => new Thread(() =>
        {
            try
            {
                rank(number);
            }
#pragma warning disable CA1031 // Thrown below, on the test's thread.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                failures[number] = failure;
            }
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        if ((failures.FirstOrDefault(f => f is not null && !isConsequence(f)) ?? failures.FirstOrDefault(f => f is not null)) is { } first) ExceptionDispatchInfo.Throw(first);
    }
}
