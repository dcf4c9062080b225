using ZstdSharp;

namespace DistTrain.Ingest;

/// <summary>What a zstd file holds, all its frames one behind the other.</summary>
internal sealed class ZstdContent(Stream compressed) : ForwardStream
{
    private readonly DecompressionStream _content = new(compressed, checkEndOfStream: true, leaveOpen: false);

    public override int Read(Span<byte> buffer)
    {
        try
        {
            return _content.Read(buffer);
        }
        catch (ZstdException e)
        {
            throw new InvalidDataException(e.Message, e);
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) _content.Dispose();
        base.Dispose(disposing);
    }
}
