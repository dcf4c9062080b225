using System.Buffers.Binary;
using System.IO.Compression;

namespace DistTrain.Ingest;

/// <summary>
/// What a zlib file holds. <see cref="ZLibStream"/> takes a file that is cut short for complete: so the checksum of what came out (Adler-32, RFC 1950 section 8.2) is compared with
/// the file's last four bytes.
/// </summary>
internal sealed class ZlibContent : ForwardStream
{
    private const uint Modulus = 65_521;

    // So many bytes can be added before 32 bits overflow.
    private const int Run = 5_552;

    private readonly TailedStream _compressed;
    private readonly ZLibStream _content;
    private uint _sum = 1, _sumOfSums;
    private bool _isEnded;

    internal ZlibContent(Stream compressed)
    {
        _compressed = new TailedStream(compressed);
        _content = new ZLibStream(_compressed, CompressionMode.Decompress);
    }

    public override int Read(Span<byte> buffer)
    {
        if (_isEnded || buffer.IsEmpty) return 0;
        int read = Decompression.Read(_content, buffer);
        if (read == 0) End();
        else Add(buffer[..read]);
        return read;
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing) _content.Dispose();
        base.Dispose(disposing);
    }

    private void Add(ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = Math.Min(bytes.Length, Run);
            uint sum = _sum, sumOfSums = _sumOfSums;
            foreach (byte value in bytes[..count])
            {
                sum += value;
                sumOfSums += sum;
            }
            _sum = sum % Modulus;
            _sumOfSums = sumOfSums % Modulus;
            bytes = bytes[count..];
        }
    }

    private void End()
    {
        _isEnded = true;
        uint stored = BinaryPrimitives.ReadUInt32BigEndian(_compressed.Tail), computed = (_sumOfSums << 16) | _sum;
        if (stored != computed) throw new InvalidDataException($"what came out has Adler-32 {computed:x8}, the last bytes of the file say {stored:x8}");
    }
}
