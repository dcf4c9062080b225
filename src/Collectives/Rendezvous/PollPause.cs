namespace DistTrain.Collectives;

/// <summary>Pauses between looks at something that can't wake us: from a first, half as long again each time, to a longest; each somewhat shorter by chance, so that many who look don't keep step.</summary>
internal struct PollPause(TimeSpan first, TimeSpan longest)
{
    private TimeSpan _next = first;

    public PollPause()
        : this(TimeSpan.FromMilliseconds(50))
    {
    }

    internal PollPause(TimeSpan longest)
        : this(TimeSpan.FromMilliseconds(1), longest)
    {
    }

    /// <summary>Pauses, no longer than a limit.</summary>
    /// <exception cref="OperationCanceledException">The token ended it.</exception>
    internal void Wait(TimeSpan limit, CancellationToken cancellationToken)
    {
        TimeSpan pause = _next * (0.5 + (Random.Shared.NextDouble() / 2));
        _next = _next * 1.5 < longest ? _next * 1.5 : longest;
        // Systems pause whole milliseconds; none at all would be no pause.
        int milliseconds = (int)Math.Ceiling((pause < limit ? pause : limit).TotalMilliseconds);
        if (!cancellationToken.CanBeCanceled) Thread.Sleep(milliseconds);
        else if (cancellationToken.WaitHandle.WaitOne(milliseconds)) cancellationToken.ThrowIfCancellationRequested();
    }
}
