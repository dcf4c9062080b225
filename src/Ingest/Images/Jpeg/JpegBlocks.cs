using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>
/// Blocks of 64 coefficients out of Huffman-coded bits: whole ones (T.81, F.2.2) and the four kinds of passes of progressive files (G.1.2, G.2).
/// Each returns false for bits that are no code, or a run beyond the block's end.
/// </summary>
internal static unsafe class JpegBlocks
{
    /// <summary>
    /// Row-major place of each coefficient in the order of the file. The longest run can pass the end by 15: those go to the last place, and are
    /// errors.
    /// </summary>
    internal static ReadOnlySpan<byte> NaturalOrder =>
    [
        0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
        35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
        63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
    ];

    /// <summary>A block of a sequential file, multiplied by its quantisation. <paramref name="block"/> is zero before.</summary>
    internal static bool ReadSequential(
        ref JpegBitReader bits, JpegHuffmanTable dc, JpegHuffmanTable ac, ref int prediction, ushort* quantisation, short* block, out int last)
    {
        last = 0;
        if (!TryReadDifference(ref bits, dc, out int difference)) return false;
        prediction += difference;
        block[0] = (short)(prediction * quantisation[0]);
        ref byte order = ref Unsafe.AsRef(in NaturalOrder[0]);
        ref int look = ref Unsafe.AsRef(in ac.Look[0]);
        for (int k = 1; k < 64; k++)
        {
            bits.Fill();
            int entry = Unsafe.Add(ref look, bits.Peek(JpegHuffmanTable.LookBits));
            int value = entry >> 16;
            if (value != 0)
            {
                bits.Use(entry & 255);
                k += (entry >> 8) & 15;
            }
            else
            {
                if (!TryReadSymbol(ref bits, ac, entry, out int symbol)) return false;
                int size = symbol & 15;
                k += symbol >> 4;
                if (size == 0)
                {
                    if (symbol != 0xf0) break;
                    continue;
                }
                value = JpegHuffmanTable.Extend(bits.Peek(size), size);
                bits.Use(size);
            }
            int place = Unsafe.Add(ref order, k);
            block[place] = (short)(value * quantisation[place]);
            last = k;
        }
        return last < 64;
    }

    /// <summary>First pass over the mean of each block.</summary>
    internal static bool ReadFirstDc(ref JpegBitReader bits, JpegHuffmanTable dc, ref int prediction, int shift, short* block)
    {
        if (!TryReadDifference(ref bits, dc, out int difference)) return false;
        prediction += difference;
        block[0] = (short)(prediction << shift);
        return true;
    }

    /// <summary>One more bit of the mean.</summary>
    internal static void RefineDc(ref JpegBitReader bits, int shift, short* block)
    {
        if (bits.Take(1) != 0) block[0] |= (short)(1 << shift);
    }

    /// <summary>First pass over some frequencies; <paramref name="endRun"/> counts the blocks still to come that have none.</summary>
    internal static bool ReadFirstAc(ref JpegBitReader bits, JpegHuffmanTable ac, in JpegBand band, ref int endRun, short* block)
    {
        if (endRun > 0)
        {
            endRun--;
            return true;
        }
        ref byte order = ref Unsafe.AsRef(in NaturalOrder[0]);
        int k = band.First;
        for (; k <= band.Last; k++)
        {
            if (!TryReadRunAndValue(ref bits, ac, out int run, out int value)) return false;
            if (value == 0 && run < 15)
            {
                endRun = (1 << run) - 1;
                if (run > 0) endRun += bits.Take(run);
                return true;
            }
            k += run;
            if (value != 0) block[Unsafe.Add(ref order, k)] = (short)(value << band.Shift);
        }
        return k <= 64;
    }

    /// <summary>One more bit of the frequencies that are not zero yet, and those that become so.</summary>
    internal static bool RefineAc(ref JpegBitReader bits, JpegHuffmanTable ac, in JpegBand band, ref int endRun, short* block)
    {
        int k = band.First;
        short one = (short)(1 << band.Shift);
        while (endRun == 0 && k <= band.Last)
        {
            if (!TryReadRunAndValue(ref bits, ac, out int run, out int sign) || sign is < -1 or > 1) return false;
            if (sign == 0 && run < 15)
            {
                endRun = 1 << run;
                if (run > 0) endRun += bits.Take(run);
                break;
            }
            k = RefineUntil(ref bits, band, k, run, one, block);
            if (sign != 0 && k <= band.Last) block[NaturalOrder[k]] = (short)(sign * one);
            k++;
        }
        if (endRun == 0) return true;
        RefineUntil(ref bits, band, k, int.MaxValue, one, block);
        endRun--;
        return true;
    }

    // Corrects what is not zero on the way past `zeros` zeros, and stops at the next zero or behind the band.
    private static int RefineUntil(ref JpegBitReader bits, in JpegBand band, int k, int zeros, short one, short* block)
    {
        for (; k <= band.Last; k++)
        {
            short* coefficient = block + NaturalOrder[k];
            if (*coefficient == 0)
            {
                if (zeros-- == 0) break;
            }
            else if (bits.Take(1) != 0 && (*coefficient & one) == 0)
            {
                *coefficient += *coefficient > 0 ? one : (short)-one;
            }
        }
        return k;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryReadDifference(ref JpegBitReader bits, JpegHuffmanTable dc, out int difference)
    {
        bits.Fill();
        int entry = dc.Look[bits.Peek(JpegHuffmanTable.LookBits)];
        difference = entry >> 16;
        if (difference != 0)
        {
            bits.Use(entry & 255);
            return true;
        }
        if (!TryReadSymbol(ref bits, dc, entry, out int size) || size > 15) return false;
        if (size == 0) return true;
        difference = JpegHuffmanTable.Extend(bits.Peek(size), size);
        bits.Use(size);
        return true;
    }

    // Zeros, and the number behind them; a number of 0 is a symbol that has none: 15 zeros and one more, or the end of a run of blocks.
    private static bool TryReadRunAndValue(ref JpegBitReader bits, JpegHuffmanTable ac, out int run, out int value)
    {
        bits.Fill();
        int entry = ac.Look[bits.Peek(JpegHuffmanTable.LookBits)];
        value = entry >> 16;
        run = (entry >> 8) & 15;
        if (value != 0)
        {
            bits.Use(entry & 255);
            return true;
        }
        if (!TryReadSymbol(ref bits, ac, entry, out int symbol)) return false;
        run = symbol >> 4;
        int size = symbol & 15;
        if (size == 0) return true;
        value = JpegHuffmanTable.Extend(bits.Peek(size), size);
        bits.Use(size);
        return true;
    }

    // The symbol of an entry without a number.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryReadSymbol(ref JpegBitReader bits, JpegHuffmanTable table, int entry, out int symbol)
    {
        if (entry == 0) return TryReadLongSymbol(ref bits, table, out symbol);
        symbol = entry >> 8;
        bits.Use(entry & 255);
        return true;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static bool TryReadLongSymbol(ref JpegBitReader bits, JpegHuffmanTable table, out int symbol)
    {
        symbol = table.FindLong(bits.Peek(16), out int length);
        bits.Use(length);
        return symbol >= 0;
    }
}

/// <summary>Which coefficients, in the order of the file, a pass of a progressive file brings, and how many lower bits are still to come.</summary>
internal readonly record struct JpegBand(int First, int Last, int Shift);
