namespace DistTrain.Ingest;

/// <summary>
/// A Huffman table (T.81, annex C), decoded by looking up the next <see cref="LookBits"/> bits. Where the code and the number that follows it both
/// lie within them, the entry holds the number itself; longer codes are found by comparing with the largest code of each length.
/// </summary>
internal sealed class JpegHuffmanTable
{
    internal const int LookBits = 10;

    /// <summary>
    /// Bits 16 to 31: the number, if not 0, bits 8 to 11 the zeros before it and bits 0 to 7 the bits of code and number together.
    /// Number 0: bits 8 to 15 are the symbol, bits 0 to 7 the length of the code alone; 0 altogether if the code is longer than the look ahead.
    /// </summary>
    internal readonly int[] Look = new int[1 << LookBits];

    private readonly int[] _largest = new int[18];
    private readonly int[] _symbolOffset = new int[17];
    private readonly byte[] _symbols = new byte[256];

    internal bool IsDefined { get; private set; }

    internal void Undefine() => IsDefined = false;

    /// <param name="counts">How many codes there are of 1 to 16 bits.</param>
    /// <param name="symbols">Their symbols in ascending order of codes.</param>
    /// <returns>False if there are more codes than lengths allow.</returns>
    internal bool TryDefine(ReadOnlySpan<byte> counts, ReadOnlySpan<byte> symbols)
    {
        symbols.CopyTo(_symbols);
        Array.Clear(Look);
        int code = 0, index = 0;
        for (int length = 1; length <= 16; length++, code <<= 1)
        {
            _symbolOffset[length] = index - code;
            for (int i = 0; i < counts[length - 1]; i++, code++, index++)
            {
                if (code >= 1 << length) return false;
                if (length <= LookBits) FillLook(code, length, symbols[index]);
            }
            // Compared with 16 bits; a length without codes has a bound that nothing at this point is below.
            _largest[length] = code << (16 - length);
        }
        _largest[17] = int.MaxValue;
        return IsDefined = true;
    }

    private void FillLook(int code, int length, byte symbol)
    {
        int rest = LookBits - length, first = code << rest, size = symbol & 15;
        for (int i = 0; i < 1 << rest; i++)
        {
            int value = size is > 0 && size <= rest ? Extend(i >> (rest - size), size) : 0;
            Look[first + i] = value != 0 ? (value << 16) | ((symbol >> 4) << 8) | (length + size) : (symbol << 8) | length;
        }
    }

    /// <summary>The symbol of a code longer than the look ahead, and its length; -1 for bits that are no code.</summary>
    internal int FindLong(int next16, out int length)
    {
        length = LookBits + 1;
        while (next16 >= _largest[length]) length++;
        if (length > 16) return -1;
        return _symbols[(byte)((next16 >> (16 - length)) + _symbolOffset[length])];
    }

    /// <summary>The number that <paramref name="size"/> bits stand for (T.81, F.2.2.1): the lower half of the range is negative.</summary>
    internal static int Extend(int bits, int size) => bits < 1 << (size - 1) ? bits - (1 << size) + 1 : bits;
}
