using System.Collections.Concurrent;
using System.Text;

namespace DistTrain.Cli;

/// <summary>An output of the launcher that several write whole lines to. Whoever reads it may be slow: messages of the launcher itself never wait for that. When the reader is gone, lines are dropped.</summary>
internal sealed class LineSink
{
    private readonly int _descriptor;
    private readonly Lock _writing = new();
    private readonly BlockingCollection<byte[]> _messages = [];
    private int _pending;
    private bool _isBroken;

    /// <param name="descriptor">1 or 2. Not by the console's streams: all of these write under one lock, so that messages would wait for a reader of the output.</param>
    public LineSink(int descriptor)
    {
        _descriptor = descriptor;
        new Thread(WriteMessages, 128 * 1024) { IsBackground = true, Name = "messages" }.Start();
    }

    /// <summary>Writes whole lines; blocks while the reader does not read.</summary>
    public void Write(ReadOnlySpan<byte> lines)
    {
        lock (_writing)
        {
            // When nobody reads any more the ranks go on, and what they say must still be taken from them.
            if (!_isBroken) _isBroken = !NativeProcess.WriteAll(_descriptor, lines);
        }
    }

    /// <summary>Has a message of the launcher written, after those before it. Never blocks.</summary>
    public void Say(string message)
    {
        Interlocked.Increment(ref _pending);
        _messages.Add(Encoding.UTF8.GetBytes($"disttrain: {message}\n"));
    }

    /// <summary>Waits until all messages are written, but not for ever.</summary>
    public void Flush(TimeSpan timeout) => SpinWait.SpinUntil(() => Volatile.Read(ref _pending) == 0, timeout);

    private void WriteMessages()
    {
        foreach (byte[] message in _messages.GetConsumingEnumerable())
        {
            Write(message);
            Interlocked.Decrement(ref _pending);
        }
    }
}
