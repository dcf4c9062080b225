namespace DistTrain.Cli;

/// <summary>Carries one kind of output of all ranks, on a thread of its own. Ranks wait when the launcher's reader does, and nothing else waits with them.</summary>
internal sealed class OutputPump
{
    private const int PollMilliseconds = 100, BufferByteCount = 1 << 16;
    private readonly List<RankStream> _streams;
    private readonly Thread _thread;
    private volatile bool _isAbandoned;

    public OutputPump(IEnumerable<RankStream> streams, string name)
    {
        _streams = [.. streams];
        _thread = new Thread(Run, 256 * 1024) { IsBackground = true, Name = name };
        _thread.Start();
    }

    /// <summary>Waits until all outputs are at their end and written.</summary>
    /// <returns>False: not in that time.</returns>
    public bool Join(TimeSpan timeout) => _thread.Join(timeout);

    /// <summary>Ends the work with what is there: someone outside of the group holds an output open.</summary>
    public void Abandon() => _isAbandoned = true;

    private void Run()
    {
        byte[] buffer = new byte[BufferByteCount];
        while (_streams.Count > 0 && !_isAbandoned)
        {
            PollEntry[] entries = [.. _streams.Select(stream => new PollEntry(stream.Descriptor))];
            NativeProcess.Poll(entries, PollMilliseconds);
            for (int i = entries.Length - 1; i >= 0; i--)
            {
                if (entries[i].Found == 0) continue;
                int? count = NativeProcess.Read(entries[i].Descriptor, buffer);
                if (count > 0) _streams[i].Take(buffer.AsSpan(0, count.Value));
                if (count != 0) continue;
                _streams[i].Dispose();
                _streams.RemoveAt(i);
            }
        }
        foreach (RankStream stream in _streams) stream.Dispose();
    }
}
