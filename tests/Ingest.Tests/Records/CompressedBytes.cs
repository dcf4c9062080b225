using System.IO.Compression;

namespace DistTrain.Ingest.Tests;

/// <summary>Bytes as the runtime's and ZstdSharp's own writers compress them.</summary>
internal static class CompressedBytes
{
    internal static byte[] Of(DataCompression kind, byte[] content)
    {
        using MemoryStream compressed = new();
        using (Stream stream = kind switch
        {
            DataCompression.Gzip => new GZipStream(compressed, CompressionLevel.Fastest),
            DataCompression.Zlib => new ZLibStream(compressed, CompressionLevel.Fastest),
            _ => new ZstdSharp.CompressionStream(compressed),
        }) stream.Write(content);
        return compressed.ToArray();
    }
}
