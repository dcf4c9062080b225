using System.IO.Compression;

namespace DistTrain.Runtime;

/// <summary>
/// A trace on its way to disk: <c>{"traceEvents":[...],"displayTimeUnit":"ms"}</c>, compressed by gzip where the name ends in <c>.gz</c>. Written beside its place and renamed when it is whole.
/// </summary>
internal sealed class TraceFile : IDisposable
{
    private readonly string _path, _unfinished;
    private readonly FileStream _file;
    private readonly Stream _text;
    private bool _hasEvents, _isWhole;

    /// <exception cref="IOException">The file can't be made.</exception>
    internal TraceFile(string path)
    {
        _path = Path.GetFullPath(path);
        _unfinished = $"{_path}.{Environment.ProcessId}.part";
        Directory.CreateDirectory(Path.GetDirectoryName(_path)!);
        _file = new FileStream(_unfinished, FileMode.Create, FileAccess.Write, FileShare.Read);
        _text = _path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? new GZipStream(_file, CompressionLevel.Fastest) : _file;
        _text.Write("{\"traceEvents\":[\n"u8);
    }

    /// <summary>Adds a replica's events.</summary>
    internal void Add(ReadOnlySpan<byte> events)
    {
        if (events.IsEmpty) return;
        if (_hasEvents) _text.Write(",\n"u8);
        _text.Write(events);
        _hasEvents = true;
    }

    /// <summary>Puts the file in its place.</summary>
    internal void Finish()
    {
        _text.Write("\n],\"displayTimeUnit\":\"ms\"}\n"u8);
        _isWhole = true;
        Dispose();
        File.Move(_unfinished, _path, overwrite: true);
    }

    /// <summary>Closes it; what was not finished is removed.</summary>
    public void Dispose()
    {
        _text.Dispose();
        _file.Dispose();
        if (!_isWhole) File.Delete(_unfinished);
    }
}
