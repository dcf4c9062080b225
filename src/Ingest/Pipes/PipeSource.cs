using System.IO.Pipelines;

namespace DistTrain.Ingest;

/// <summary>
/// Bytes that come as a stream: a socket, the body of a request, the output of a process, a decompressor. Each pass opens it anew, so that an epoch can be repeated
/// if what it stands for can.
/// </summary>
public sealed class PipeSource
{
    private readonly Func<PipeReader>? _openPipe;
    private readonly Func<Stream>? _openStream;
    private readonly DataCompression _compression;

    /// <summary>A pipe.</summary>
    /// <param name="name">Names it in messages.</param>
    /// <param name="open">Called at the start of each pass; the reader is completed at its end. Its pauses are its owner's matter: everything read is taken at once, so that no
    /// record is too long for any threshold.</param>
    public PipeSource(string name, Func<PipeReader> open)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(open);
        Name = name;
        _openPipe = open;
    }

    /// <summary>A stream, read by a thread of its own into memory that records are then slices of.</summary>
    /// <param name="name">Names it in messages.</param>
    /// <param name="open">Called at the start of each pass; the stream is disposed at its end, also to end a read that blocks.</param>
    /// <param name="compression">What it is compressed with; <see cref="DataCompression.Auto"/> goes by the name.</param>
    public PipeSource(string name, Func<Stream> open, DataCompression compression = DataCompression.Auto)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(open);
        Name = name;
        _openStream = open;
        if (compression == DataCompression.Auto) compression = Decompression.OfName(name);
        _compression = compression == DataCompression.Auto ? DataCompression.None : compression;
    }

    /// <summary>Names it in messages.</summary>
    public string Name { get; }

    /// <summary>Opens it for one pass.</summary>
    /// <param name="context">Cancelled when the pass is over.</param>
    /// <param name="pump">What reads the stream; null for a pipe.</param>
    internal PipeReader Open(StreamContext context, out PipePump? pump)
    {
        pump = null;
        if (_openPipe is not null) return _openPipe();
        pump = new PipePump(Name, _openStream!(), _compression, context);
        return pump.Reader;
    }
}
