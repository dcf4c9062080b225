using System.Text;

namespace DistTrain.Cli;

/// <summary>The last lines that a rank has written to either output, for the report of its failure. Thread-safe.</summary>
internal sealed class OutputTail
{
    private const int LineCount = 20, LongestLine = 2000;
    private readonly Queue<string> _lines = new();

    public void Add(ReadOnlySpan<byte> line)
    {
        string text = Encoding.UTF8.GetString(line.Length > LongestLine ? line[..LongestLine] : line) + (line.Length > LongestLine ? $" ... ({line.Length:N0} bytes)" : "");
        lock (_lines)
        {
            _lines.Enqueue(text);
            if (_lines.Count > LineCount) _lines.Dequeue();
        }
    }

    public string[] Lines()
    {
        lock (_lines) return [.. _lines];
    }
}
