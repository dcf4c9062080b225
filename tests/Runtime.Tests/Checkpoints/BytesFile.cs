namespace DistTrain.Runtime.Tests;

/// <summary>Bytes in memory as a file of a checkpoint; gives at most 1,000 at a time, as a network would.</summary>
internal sealed class BytesFile(byte[] content) : ICheckpointFile
{
    public long ByteCount => content.Length;

    public int Read(Span<byte> destination, long offset)
    {
        ReadOnlySpan<byte> rest = content.AsSpan((int)Math.Min(offset, content.Length));
        int count = Math.Min(Math.Min(rest.Length, destination.Length), 1000);
        rest[..count].CopyTo(destination);
        return count;
    }

    public void Dispose()
    {
    }
}
