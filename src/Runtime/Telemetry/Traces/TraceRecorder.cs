namespace DistTrain.Runtime;

/// <summary>One replica's newest spans, in a ring of a fixed size: recording never allocates and never waits for anything but another span. Thread-safe.</summary>
internal sealed class TraceRecorder(int capacity)
{
    private readonly Lock _lock = new();
    private readonly TraceSpan[] _spans = new TraceSpan[capacity];
    private long _count;

    /// <summary>Spans that newer ones have taken the place of.</summary>
    internal long DroppedCount
    {
        get
        {
            lock (_lock) return Math.Max(0, _count - _spans.Length);
        }
    }

    internal void Add(in TraceSpan span)
    {
        lock (_lock) _spans[_count++ % _spans.Length] = span;
    }

    /// <summary>What is there, in the order in which it ended.</summary>
    internal TraceSpan[] Take()
    {
        lock (_lock)
        {
            int kept = (int)Math.Min(_count, _spans.Length);
            TraceSpan[] spans = new TraceSpan[kept];
            for (int i = 0; i < kept; i++) spans[i] = _spans[(_count - kept + i) % _spans.Length];
            return spans;
        }
    }
}
