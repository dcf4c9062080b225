using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>
/// The last four bytes of a gzip file: how much it decompresses to, modulo 2^32 (RFC 1952). <see cref="System.IO.Compression.GZipStream"/> takes a file that is cut short
/// before or inside its trailer for complete; comparing the length finds that.
/// </summary>
internal static class GzipTrailer
{
    // A header of ten bytes and a trailer of eight: in a shorter file the last four bytes are no length.
    private const int LeastByteCount = 18;

    internal static void Check(FileStream file, string path, long decompressedByteCount)
    {
        Span<byte> trailer = stackalloc byte[4];
        int read = RandomAccess.Read(file.SafeFileHandle, trailer, Math.Max(0, file.Length - trailer.Length));
        uint stored = BinaryPrimitives.ReadUInt32LittleEndian(trailer);
        if (file.Length >= LeastByteCount && read == trailer.Length && stored == (uint)decompressedByteCount) return;
        throw new DataFormatException(path, decompressedByteCount,
            $"the gzip data end after {decompressedByteCount:N0} bytes, their trailer says {stored:N0}: cut short, or several gzip files in one");
    }
}
