using System.Numerics;

namespace DistTrain.Ingest;

/// <summary>
/// Rows of a component at the resolution of the image. Doubling weighs the nearest sample with 3/4 and the next with 1/4 in either direction (the
/// triangle filter that libjpeg uses unless told otherwise), with its rounding; other ratios, and components of at most two columns, repeat samples.
/// </summary>
internal static unsafe class JpegUpsampling
{
    /// <summary>Entries before and behind a row of sums that its neighbours are read from.</summary>
    internal const int Margin = 64;

    /// <summary>Row <paramref name="row"/> of the image: where it lies already, or computed into <paramref name="output"/>.</summary>
    /// <param name="frame">The layout.</param>
    /// <param name="component">Which component.</param>
    /// <param name="plane">Its samples.</param>
    /// <param name="row">Row of the image.</param>
    /// <param name="sums">Scratch: the padded width and twice the margin.</param>
    /// <param name="output">Scratch: the padded width of the image and a margin.</param>
    internal static byte* Row(JpegFrame frame, JpegComponent component, byte* plane, int row, ushort* sums, byte* output)
    {
        int horizontal = frame.MaximumHorizontal / component.HorizontalSampling, vertical = frame.MaximumVertical / component.VerticalSampling;
        int own = row / vertical;
        byte* near = plane + (own * (nint)component.Stride);
        if (horizontal == 1 && vertical == 1) return near;
        bool isSmooth = component.Width > 2;
        if (horizontal == 1 && vertical == 2) return Between(near, Neighbour(component, plane, own, row), component.Width, row & 1, output);
        if (horizontal == 2 && vertical == 1 && isSmooth) return Double(sums, Widen(near, component.Width, sums), 1, 2, 2, output);
        if (horizontal == 2 && vertical == 2 && isSmooth)
            return Double(sums, Weigh(near, Neighbour(component, plane, own, row), component.Width, sums), 8, 7, 4, output);
        return Repeat(near, component.Width, horizontal, output);
    }

    // The row above for the upper of two rows, below for the lower; at the edges the row itself.
    private static byte* Neighbour(JpegComponent component, byte* plane, int own, int row) =>
        plane + (Math.Clamp((row & 1) == 0 ? own - 1 : own + 1, 0, component.Height - 1) * (nint)component.Stride);

    private static byte* Between(byte* near, byte* far, int width, int isLower, byte* output)
    {
        for (int i = 0; i < width; i++) output[i] = (byte)(((3 * near[i]) + far[i] + 1 + isLower) >> 2);
        return output;
    }

    private static byte* Repeat(byte* input, int width, int times, byte* output)
    {
        byte* next = output;
        for (int i = 0; i < width; i++)
        {
            for (int j = 0; j < times; j++) *next++ = input[i];
        }
        return output;
    }

    private static int Widen(byte* input, int width, ushort* sums)
    {
        ushort* first = sums + Margin;
        int i = 0;
        for (; i < width; i += Vector<byte>.Count)
        {
            Vector.Widen(*(Vector<byte>*)(input + i), out Vector<ushort> low, out Vector<ushort> high);
            *(Vector<ushort>*)(first + i) = low;
            *(Vector<ushort>*)(first + i + Vector<ushort>.Count) = high;
        }
        return width;
    }

    private static int Weigh(byte* near, byte* far, int width, ushort* sums)
    {
        ushort* first = sums + Margin;
        Vector<ushort> three = new(3);
        for (int i = 0; i < width; i += Vector<byte>.Count)
        {
            Vector.Widen(*(Vector<byte>*)(near + i), out Vector<ushort> nearLow, out Vector<ushort> nearHigh);
            Vector.Widen(*(Vector<byte>*)(far + i), out Vector<ushort> farLow, out Vector<ushort> farHigh);
            *(Vector<ushort>*)(first + i) = (nearLow * three) + farLow;
            *(Vector<ushort>*)(first + i + Vector<ushort>.Count) = (nearHigh * three) + farHigh;
        }
        return width;
    }

    // Two samples out of each: a quarter of the left neighbour, a quarter of the right. Both are below 256 and leave as one 16-bit number, the left
    // one first.
    private static byte* Double(ushort* sums, int width, ushort roundLeft, ushort roundRight, int shift, byte* output)
    {
        ushort* first = sums + Margin;
        first[-1] = first[0];
        first[width] = first[width - 1];
        Vector<ushort> three = new(3), left = new(roundLeft), right = new(roundRight);
        for (int i = 0; i < width; i += Vector<ushort>.Count)
        {
            Vector<ushort> middle = *(Vector<ushort>*)(first + i) * three;
            Vector<ushort> even = Vector.ShiftRightLogical(middle + *(Vector<ushort>*)(first + i - 1) + left, shift);
            Vector<ushort> odd = Vector.ShiftRightLogical(middle + *(Vector<ushort>*)(first + i + 1) + right, shift);
            Vector<ushort> pair = BitConverter.IsLittleEndian ? even | Vector.ShiftLeft(odd, 8) : odd | Vector.ShiftLeft(even, 8);
            *(Vector<ushort>*)(output + (2 * i)) = pair;
        }
        return output;
    }
}
