using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>
/// The bits of entropy-coded data, the first in the highest place; stuffed zeros are taken out. Behind a marker or the end of the data come zeros
/// without end, and <see cref="IsOverrun"/> tells when one of them was used: so the decoder's inner loops need no check.
/// </summary>
internal ref struct JpegBitReader(ReadOnlySpan<byte> encoded, int position)
{
    private readonly ReadOnlySpan<byte> _encoded = encoded;
    private ulong _bits;
    private int _count;
    private long _invented;
    private bool _hasEnded;

    /// <summary>The next byte to fetch; at a marker once one was met.</summary>
    internal int Position { get; private set; } = position;

    /// <summary>Whether bits behind the end of the data were used.</summary>
    internal readonly bool IsOverrun => _count < _invented;

    /// <summary>Bits of the data that were fetched but not used.</summary>
    internal readonly long UnusedBitCount => _count - _invented;

    /// <summary>Makes sure that at least 32 bits can be looked at: the longest code and the longest number behind it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Fill()
    {
        if (_count < 32) Fetch();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal readonly int Peek(int count) => (int)(_bits >> (64 - count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Use(int count)
    {
        _bits <<= count;
        _count -= count;
    }

    /// <summary><paramref name="count"/> bits, 1 to 16. Fills first.</summary>
    internal int Take(int count)
    {
        Fill();
        int bits = Peek(count);
        Use(count);
        return bits;
    }

    /// <summary>Goes on behind the restart marker that is due; false if there is none, or bytes are left before it.</summary>
    internal bool TryRestart(int number)
    {
        if (UnusedBitCount >= 8 || Position + 1 >= _encoded.Length || _encoded[Position] != 0xff) return false;
        int at = Position + 1;
        while (at < _encoded.Length && _encoded[at] == 0xff) at++;
        if (at >= _encoded.Length || _encoded[at] != 0xd0 + number) return false;
        Position = at + 1;
        _bits = 0;
        _count = 0;
        _invented = 0;
        _hasEnded = false;
        return true;
    }

    private void Fetch()
    {
        if (Position + 8 <= _encoded.Length)
        {
            ulong next = BinaryPrimitives.ReadUInt64BigEndian(_encoded[Position..]);
            // No byte of 0xff among them: no zero byte in the complement. Bits below _count may already hold the same data, so that or-ing them again
            // changes nothing.
            if (((~next - 0x0101010101010101) & next & 0x8080808080808080) == 0)
            {
                _bits |= next >> _count;
                int taken = (64 - _count) >> 3;
                Position += taken;
                _count += taken * 8;
                return;
            }
        }
        FetchBytes();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void FetchBytes()
    {
        for (; _count <= 56; _count += 8)
        {
            if (_hasEnded || Position >= _encoded.Length)
            {
                _hasEnded = true;
                _invented += 8;
                continue;
            }
            byte next = _encoded[Position];
            if (next == 0xff && (Position + 1 >= _encoded.Length || _encoded[Position + 1] != 0))
            {
                _hasEnded = true;
                _invented += 8;
                continue;
            }
            Position += next == 0xff ? 2 : 1;
            _bits |= (ulong)next << (56 - _count);
        }
    }
}
