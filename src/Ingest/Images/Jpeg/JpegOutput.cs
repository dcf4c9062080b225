using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>The planes of a decoded JPEG file to the pixels of an image, row by row: of one channel, which is the first plane, or of three.</summary>
internal static unsafe class JpegOutput
{
    internal static void Write(JpegFrame frame, JpegColourSpace space, bool isInverted, byte* planes, in DecodedImage image)
    {
        int padded = frame.UnitsWide * frame.MaximumHorizontal * 8, rowLength = padded + JpegUpsampling.Margin;
        byte[] rented = ArrayPool<byte>.Shared.Rent((4 * rowLength) + (2 * (padded + (2 * JpegUpsampling.Margin))));
        try
        {
            fixed (byte* scratch = rented, pixels = image.Pixels)
            {
                ushort* sums = (ushort*)scratch;
                byte* rows = scratch + (2 * (padded + (2 * JpegUpsampling.Margin)));
                for (int row = 0; row < frame.Height; row++)
                {
                    byte* output = pixels + ((long)row * frame.Width * image.Channels);
                    WriteRow(frame, space, isInverted, planes, row, sums, rows, rowLength, image.Channels, output);
                }
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    private static void WriteRow(
        JpegFrame frame, JpegColourSpace space, bool isInverted, byte* planes, int row, ushort* sums, byte* rows, int rowLength, int channels, byte* output)
    {
        byte* first = Row(0);
        int width = frame.Width;
        if (channels == 1)
        {
            Buffer.MemoryCopy(first, output, width, width);
            return;
        }
        if (space is JpegColourSpace.YCbCr or JpegColourSpace.Ycck) JpegColour.FromYCbCr(first, Row(1), Row(2), width, output);
        else JpegColour.FromRgb(first, Row(1), Row(2), width, output);
        if (space is not (JpegColourSpace.Cmyk or JpegColourSpace.Ycck)) return;
        if (isInverted == (space == JpegColourSpace.Ycck)) JpegColour.Invert(output, 3 * width);
        JpegColour.Darken(output, Row(3), width, isInverted);

        byte* Row(int index)
        {
            JpegComponent component = frame.Components[index];
            return JpegUpsampling.Row(frame, component, planes + component.PlaneStart, row, sums, rows + ((long)index * rowLength));
        }
    }
}
