namespace DistTrain.Runtime;

/// <summary>Pauses between tries: each twice as long as the one before up to a longest, somewhat shorter by chance so that many workers don't come at once, until the time is over.</summary>
internal sealed class BackOff(RemoteParameterServerOptions options)
{
    private readonly long _began = System.Diagnostics.Stopwatch.GetTimestamp();
    private TimeSpan _next = options.FirstPause;

    /// <summary>Pauses made, and the try before each of them.</summary>
    internal int TryCount { get; private set; } = 1;

    /// <summary>Whether nothing is left of the time.</summary>
    internal bool IsOver => Left <= TimeSpan.Zero;

    private TimeSpan Left => options.ReconnectTimeout - System.Diagnostics.Stopwatch.GetElapsedTime(_began);

    internal TimeSpan Next()
    {
        TryCount++;
        TimeSpan pause = _next * (0.5 + (Random.Shared.NextDouble() / 2));
        _next = _next * 2 < options.LongestPause ? _next * 2 : options.LongestPause;
        TimeSpan left = Left;
        return pause < left ? pause : left > TimeSpan.Zero ? left : TimeSpan.Zero;
    }
}
