namespace DistTrain.Ingest;

/// <summary>The tuner's decisions, bounded: the first ones and the newest.</summary>
internal sealed class TuningLog
{
    private const int MostEntries = 200;

    private readonly List<(TimeSpan At, string Text)> _entries = [];
    private string _stopReason = "nothing has been measured yet";

    /// <summary>Why nothing more is being raised.</summary>
    internal string StopReason
    {
        get => Volatile.Read(ref _stopReason);
        set => Volatile.Write(ref _stopReason, value);
    }

    internal (TimeSpan At, string Text)[] Entries
    {
        get
        {
            lock (_entries) return [.. _entries];
        }
    }

    internal void Add(TimeSpan at, string text)
    {
        lock (_entries)
        {
            if (_entries.Count == MostEntries) _entries.RemoveAt(MostEntries / 2);
            _entries.Add((at, text));
        }
    }
}
