using System.Buffers;
using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>
/// Pixels of 8 bits, [height, width, channels] in row-major order, in memory rented from an <see cref="ImagePool"/>. A handle: copies name the same
/// pixels. Whoever holds the image disposes it, once or more often; the memory goes back with the first time and every handle is void from then on.
/// </summary>
public readonly record struct DecodedImage : IDisposable, ISized, IEncodable<DecodedImage>
{
    private const int HeaderByteCount = 12;

    private readonly ImageBuffer? _buffer;
    private readonly int _generation;

    internal DecodedImage(ImageBuffer buffer, int height, int width, int channels)
    {
        _buffer = buffer;
        _generation = buffer.Generation;
        Width = width;
        Height = height;
        Channels = channels;
    }

    /// <summary>Pixels in a row.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary>1: grey; 3: red, green, blue.</summary>
    public int Channels { get; }

    /// <summary>Bytes of all pixels.</summary>
    public long ByteCount => (long)Width * Height * Channels;

    /// <summary>The pixels, writable. Not to be used after the image was disposed.</summary>
    /// <exception cref="ObjectDisposedException">The image was disposed, or is the default value.</exception>
    public Span<byte> Pixels
    {
        get
        {
            ObjectDisposedException.ThrowIf(_buffer is null || _buffer.Generation != _generation, typeof(DecodedImage));
            return _buffer.Bytes.AsSpan(0, Width * Height * Channels);
        }
    }

    /// <summary>The pixels with their shape, for operations on images.</summary>
    /// <exception cref="ObjectDisposedException">The image was disposed, or is the default value.</exception>
    public ImageView View => new(Pixels, Height, Width, Channels);

    /// <summary>Gives the memory back. Safe to call again, also from another thread.</summary>
    public void Dispose() => _buffer?.Release(_generation);

    /// <inheritdoc/>
    void IEncodable<DecodedImage>.Encode(IBufferWriter<byte> destination)
    {
        ReadOnlySpan<byte> pixels = Pixels;
        Span<byte> header = destination.GetSpan(HeaderByteCount);
        BinaryPrimitives.WriteInt32LittleEndian(header, Width);
        BinaryPrimitives.WriteInt32LittleEndian(header[4..], Height);
        BinaryPrimitives.WriteInt32LittleEndian(header[8..], Channels);
        destination.Advance(HeaderByteCount);
        destination.Write(pixels);
    }

    /// <inheritdoc/>
    static DecodedImage IEncodable<DecodedImage>.Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderByteCount)
            throw new DataFormatException("stored image", 0, $"{bytes.Length} bytes are too few for an image's header");
        int width = BinaryPrimitives.ReadInt32LittleEndian(bytes), height = BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]);
        int channels = BinaryPrimitives.ReadInt32LittleEndian(bytes[8..]);
        ReadOnlySpan<byte> pixels = bytes[HeaderByteCount..];
        if (width < 1 || height < 1 || channels is not (1 or 3) || (Int128)width * height * channels != pixels.Length)
            throw new DataFormatException("stored image", 0, $"{width} x {height} x {channels} and {pixels.Length} bytes of pixels don't fit together");
        return ImagePool.Shared.Copy(pixels, height, width, channels);
    }
}
