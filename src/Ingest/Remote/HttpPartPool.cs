using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>The buffers of one source: lent by the shared pool, counted.</summary>
internal sealed class HttpPartPool
{
    private long _byteCount;

    /// <summary>Bytes of buffers out now, as asked for.</summary>
    internal long ByteCount => Interlocked.Read(ref _byteCount);

    internal byte[] Rent(int length)
    {
        Interlocked.Add(ref _byteCount, length);
        return ArrayPool<byte>.Shared.Rent(length);
    }

    internal void Return(byte[] buffer, int length)
    {
        ArrayPool<byte>.Shared.Return(buffer);
        Interlocked.Add(ref _byteCount, -length);
    }
}
