namespace DistTrain.Collectives;

/// <summary>Bytes that came and were not used yet, in one piece. Empty it holds no memory worth mentioning, for most connections idle most of the time.</summary>
internal sealed class ByteQueue
{
    private const int FirstByteCount = 256, KeptByteCount = 1024;
    private byte[] _bytes = [];
    private int _start;

    internal int Count { get; private set; }

    internal ReadOnlySpan<byte> Bytes => _bytes.AsSpan(_start, Count);

    internal void Add(ReadOnlySpan<byte> bytes)
    {
        if (_start + Count + bytes.Length > _bytes.Length) MakeRoom(Count + bytes.Length);
        bytes.CopyTo(_bytes.AsSpan(_start + Count));
        Count += bytes.Length;
    }

    internal void Remove(int count)
    {
        _start += count;
        Count -= count;
        if (Count > 0) return;
        _start = 0;
        if (_bytes.Length > KeptByteCount) _bytes = [];
    }

    private void MakeRoom(int count)
    {
        byte[] bytes = count <= _bytes.Length ? _bytes : new byte[int.Max(count, int.Max(2 * _bytes.Length, FirstByteCount))];
        Bytes.CopyTo(bytes);
        (_bytes, _start) = (bytes, 0);
    }
}
