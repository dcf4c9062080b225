namespace DistTrain.Collectives;

/// <summary>How a <see cref="FileStore"/> waits.</summary>
public sealed record FileStoreOptions
{
    /// <summary>The longest that a change may wait for the changes of others; each takes milliseconds, so this passes only if a process was stopped amid one or the file system hangs.</summary>
    public TimeSpan LockTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>The longest pause between two looks for a key that is awaited.</summary>
    public TimeSpan LongestPause { get; init; } = TimeSpan.FromMilliseconds(50);

    internal void Check()
    {
        RendezvousLimits.CheckTimeout(LockTimeout);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(LongestPause, TimeSpan.Zero);
        RendezvousLimits.CheckTimeout(LongestPause);
    }
}
