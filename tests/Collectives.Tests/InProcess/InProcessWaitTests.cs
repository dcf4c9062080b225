using System.Diagnostics;

namespace DistTrain.Collectives.Tests;

/// <summary>Ranks that fall asleep while they wait, again and again.</summary>
public sealed class InProcessWaitTests
{
    // A call that nobody wakes goes on by itself after half a second: of a thousand few may need that.
    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    public void Who_sleeps_is_woken_by_the_last_to_come(int worldSize)
    {
        const int Calls = 1000;
        long start = Stopwatch.GetTimestamp();
        World.Run(WorldKind.InProcess, worldSize, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) }, (communicator, device) =>
        {
            Random random = new(communicator.Rank);
            for (int call = 0; call < Calls; call++)
            {
                // Another is late each time, about as long as others take to fall asleep: just before and just after they do.
                if (call % worldSize == communicator.Rank) Delay(random.Next(60, 260));
                communicator.Barrier(device.DefaultStream);
            }
        });
        Assert.InRange(Stopwatch.GetElapsedTime(start).TotalSeconds, 0, 60);
    }

    private static void Delay(int microseconds)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start).TotalMicroseconds < microseconds) Thread.Yield();
    }
}
