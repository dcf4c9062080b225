using System.Diagnostics;

namespace DistTrain.Collectives;

/// <summary>A point of this process' own monotonic clock until which something may go on, and the token that may end it before.</summary>
internal readonly struct Deadline
{
    private readonly long _start;

    internal Deadline(TimeSpan timeout, CancellationToken cancellationToken = default)
        : this(Stopwatch.GetTimestamp(), timeout, cancellationToken)
    {
    }

    private Deadline(long start, TimeSpan timeout, CancellationToken cancellationToken) => (_start, Timeout, CancellationToken) = (start, timeout, cancellationToken);

    internal TimeSpan Timeout { get; }

    internal CancellationToken CancellationToken { get; }

    internal TimeSpan Left
    {
        get
        {
            TimeSpan left = Timeout - Stopwatch.GetElapsedTime(_start);
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    internal bool IsOver => Left == TimeSpan.Zero;

    /// <summary>This deadline under another token.</summary>
    internal Deadline With(CancellationToken cancellationToken) => new(_start, Timeout, cancellationToken);

    /// <summary>This deadline, or one after a time if that is earlier.</summary>
    internal Deadline Within(TimeSpan timeout) => new(timeout < Left ? timeout : Left, CancellationToken);
}
