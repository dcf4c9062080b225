using System.Diagnostics;

namespace DistTrain.RemoteStorage;

/// <summary>Lets bytes pass at a rate, however many connections share it. Timers come late: what is then due passes at once, up to a short while's worth.</summary>
internal sealed class Throttle(double bytesPerSecond)
{
    private static readonly TimeSpan s_slack = TimeSpan.FromMilliseconds(30);
    private readonly Lock _gate = new();
    private double _due = Now;

    /// <summary>Waits until so many bytes may pass.</summary>
    public async ValueTask PassAsync(int byteCount, CancellationToken cancellation)
    {
        double wait;
        lock (_gate)
        {
            _due = Math.Max(_due, Now - s_slack.TotalSeconds) + (byteCount / bytesPerSecond);
            wait = _due - Now;
        }
        if (wait > 0.001) await Task.Delay(TimeSpan.FromSeconds(wait), cancellation);
    }

    private static double Now => Stopwatch.GetTimestamp() / (double)Stopwatch.Frequency;
}
