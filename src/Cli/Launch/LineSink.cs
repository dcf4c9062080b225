using System.Collections.Concurrent;
using System.Text;

namespace DistTrain.Cli;

/// <summary>An output of the launcher that several write whole lines to. Whoever reads it may be slow: messages of the launcher itself never wait for that. When the reader is gone, lines are dropped.</summary>
internal sealed class LineSink
{
    private readonly Stream _stream;
    private readonly Lock _writing = new();
    private readonly BlockingCollection<byte[]> _messages = [];
    private int _pending;
    private bool _isBroken;

    public LineSink(Stream stream)
    {
        _stream = stream;
        new Thread(WriteMessages, 128 * 1024) { IsBackground = true, Name = "messages" }.Start();
    }

    /// <summary>Writes whole lines; blocks while the reader does not read.</summary>
    public void Write(ReadOnlySpan<byte> lines)
    {
        lock (_writing)
        {
            if (_isBroken) return;
            try
            {
                _stream.Write(lines);
                _stream.Flush();
            }
            catch (IOException)
            {
                // Nobody reads any more. The ranks go on, and what they say must still be taken from them.
                _isBroken = true;
            }
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
