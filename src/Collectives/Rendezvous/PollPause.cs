namespace DistTrain.Collectives;

/// <summary>Pauses between looks at something that can't wake us: from 1 ms, half as long again each time, to a longest.</summary>
internal struct PollPause
{
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(1);
    private readonly TimeSpan _longest;
    private TimeSpan _next;

    public PollPause()
        : this(TimeSpan.FromMilliseconds(50))
    {
    }

    internal PollPause(TimeSpan longest)
        : this(First, longest)
    {
    }

    internal PollPause(TimeSpan first, TimeSpan longest) => (_next, _longest) = (first, longest);

    /// <summary>Pauses, no longer than a limit.</summary>
    /// <exception cref="OperationCanceledException">The token ended it.</exception>
    internal void Wait(TimeSpan limit, CancellationToken cancellationToken)
    {
        TimeSpan pause = _next < limit ? _next : limit;
        _next = _next * 1.5 < _longest ? _next * 1.5 : _longest;
        if (!cancellationToken.CanBeCanceled) Thread.Sleep(pause);
        else if (cancellationToken.WaitHandle.WaitOne(pause)) cancellationToken.ThrowIfCancellationRequested();
    }
}
