using System.Buffers;
using System.Buffers.Binary;

namespace DistTrain.Ingest;

/// <summary>One image with its class: a look at pixels that belong to the data set.</summary>
/// <param name="Pixels">[channel, row, column], row-major.</param>
/// <param name="Label">Its class.</param>
public readonly record struct ImageSample(ReadOnlyMemory<byte> Pixels, int Label) : ISized, IEncodable<ImageSample>
{
    /// <inheritdoc/>
    public long ByteCount => Pixels.Length;

    /// <inheritdoc/>
    public void Encode(IBufferWriter<byte> destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        BinaryPrimitives.WriteInt32LittleEndian(destination.GetSpan(sizeof(int)), Label);
        destination.Advance(sizeof(int));
        destination.Write(Pixels.Span);
    }

    /// <inheritdoc/>
    public static ImageSample Decode(ReadOnlySpan<byte> bytes) => new(bytes[sizeof(int)..].ToArray(), BinaryPrimitives.ReadInt32LittleEndian(bytes));
}
