using System.Text;

namespace DistTrain.Cli;

/// <summary>
/// One output of one rank: its bytes become lines with the rank in front, written whole, and go as they are to its log file. A line longer than a mebibyte is written in pieces of that, each a
/// line of its own. Used by one thread.
/// </summary>
internal sealed class RankStream(int descriptor, string rank, OutputTail tail, LineSink sink, FileStream? log) : IDisposable
{
    private const int LongestLine = 1 << 20;
    private readonly byte[] _prefix = Encoding.ASCII.GetBytes($"[{rank}] ");
    private readonly MemoryStream _line = new();
    private readonly MemoryStream _ready = new();
    private FileStream? _log = log;

    public int Descriptor { get; } = descriptor;

    public void Take(ReadOnlySpan<byte> bytes)
    {
        Log(bytes);
        while (!bytes.IsEmpty)
        {
            int end = bytes.IndexOf((byte)'\n');
            ReadOnlySpan<byte> part = end < 0 ? bytes : bytes[..end];
            if (part.Length > LongestLine - (int)_line.Length) part = part[..(LongestLine - (int)_line.Length)];
            bool isWhole = part.Length == end || _line.Length + part.Length == LongestLine;
            _line.Write(part);
            bytes = bytes[(part.Length + (part.Length == end ? 1 : 0))..];
            if (isWhole) EndLine();
        }
        Send();
    }

    /// <summary>No more comes: what has no line end gets one.</summary>
    public void Dispose()
    {
        if (_line.Length > 0) EndLine();
        Send();
        NativeProcess.Close(Descriptor);
        _log?.Dispose();
    }

    private void EndLine()
    {
        ReadOnlySpan<byte> line = _line.GetBuffer().AsSpan(0, (int)_line.Length);
        tail.Add(line);
        _ready.Write(_prefix);
        _ready.Write(line);
        _ready.WriteByte((byte)'\n');
        _line.SetLength(0);
    }

    private void Send()
    {
        if (_ready.Length == 0) return;
        sink.Write(_ready.GetBuffer().AsSpan(0, (int)_ready.Length));
        _ready.SetLength(0);
    }

    private void Log(ReadOnlySpan<byte> bytes)
    {
        try
        {
            _log?.Write(bytes);
            _log?.Flush();
        }
        catch (IOException failure)
        {
            // A full disk must not stop the training.
            sink.Say($"rank {rank}: can't write {_log!.Name}, its log ends here: {failure.Message}");
            try
            {
                _log.Dispose();
            }
            catch (IOException)
            {
                // It can't write what it still had either; that was said.
            }
            _log = null;
        }
    }
}
