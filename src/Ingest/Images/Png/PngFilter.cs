using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace DistTrain.Ingest;

/// <summary>
/// Takes back what filters did to rows (ISO/IEC 15948, clause 9): each byte is a difference to what its left, upper and upper left neighbours
/// foretell.
/// </summary>
internal static unsafe class PngFilter
{
    /// <summary>False if there is no such filter.</summary>
    /// <param name="kind">0 to 4.</param>
    /// <param name="input">The filtered row.</param>
    /// <param name="above">The row above, unfiltered; zeros for the first.</param>
    /// <param name="output">The unfiltered row. Not the same memory as the input.</param>
    /// <param name="count">Bytes in the row.</param>
    /// <param name="distance">Bytes to the left neighbour.</param>
    internal static bool TryUndo(int kind, byte* input, byte* above, byte* output, int count, int distance)
    {
        switch (kind)
        {
            case 0:
                Buffer.MemoryCopy(input, output, count, count);
                return true;
            case 1:
                UndoLeft(input, output, count, distance);
                return true;
            case 2:
                UndoAbove(input, above, output, count);
                return true;
            case 3:
                UndoMean(input, above, output, count, distance);
                return true;
            case 4:
                int done = distance is 3 or 4 ? UndoPaethPixels(input, above, output, count, distance) : 0;
                UndoPaeth(input, above, output, done, count, distance);
                return true;
            default:
                return false;
        }
    }

    private static void UndoLeft(byte* input, byte* output, int count, int distance)
    {
        for (int i = 0; i < Math.Min(count, distance); i++) output[i] = input[i];
        for (int i = distance; i < count; i++) output[i] = (byte)(input[i] + output[i - distance]);
    }

    private static void UndoAbove(byte* input, byte* above, byte* output, int count)
    {
        int i = 0;
        for (; i <= count - Vector<byte>.Count; i += Vector<byte>.Count)
            *(Vector<byte>*)(output + i) = *(Vector<byte>*)(input + i) + *(Vector<byte>*)(above + i);
        for (; i < count; i++) output[i] = (byte)(input[i] + above[i]);
    }

    private static void UndoMean(byte* input, byte* above, byte* output, int count, int distance)
    {
        for (int i = 0; i < Math.Min(count, distance); i++) output[i] = (byte)(input[i] + (above[i] >> 1));
        for (int i = distance; i < count; i++) output[i] = (byte)(input[i] + ((output[i - distance] + above[i]) >> 1));
    }

    private static void UndoPaeth(byte* input, byte* above, byte* output, int start, int count, int distance)
    {
        for (int i = start; i < Math.Min(count, distance); i++) output[i] = (byte)(input[i] + above[i]);
        for (int i = Math.Max(start, distance); i < count; i++)
        {
            int left = output[i - distance], up = above[i], corner = above[i - distance];
            int toLeft = Math.Abs(up - corner), toUp = Math.Abs(left - corner), toCorner = Math.Abs(left + up - corner - corner);
            output[i] = (byte)(input[i] + (toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner));
        }
    }

    // All samples of a pixel at once. Four bytes are read and written for a pixel of three, so the last pixels are left to the loop above.
    private static int UndoPaethPixels(byte* input, byte* above, byte* output, int count, int distance)
    {
        Vector128<short> left = default, corner = default;
        int i = 0;
        for (; i <= count - 4 - distance; i += distance)
        {
            Vector128<short> up = Load(above + i), toLeft = up - corner, toUp = left - corner, toCorner = Vector128.Abs(toLeft + toUp);
            toLeft = Vector128.Abs(toLeft);
            toUp = Vector128.Abs(toUp);
            Vector128<short> isLeft = Vector128.LessThanOrEqual(toLeft, Vector128.Min(toUp, toCorner)), isUp = Vector128.LessThanOrEqual(toUp, toCorner);
            Vector128<short> foretold = Vector128.ConditionalSelect(isLeft, left, Vector128.ConditionalSelect(isUp, up, corner));
            Vector128<short> sum = (Load(input + i) + foretold) & Vector128.Create((short)255);
            *(uint*)(output + i) = Vector128.Narrow(sum.AsUInt16(), sum.AsUInt16()).AsUInt32().ToScalar();
            left = sum;
            corner = up;
        }
        return i;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<short> Load(byte* bytes) => Vector128.WidenLower(Vector128.CreateScalarUnsafe(*(uint*)bytes).AsByte()).AsInt16();
}
