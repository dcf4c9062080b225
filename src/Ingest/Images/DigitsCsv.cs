using System.IO.Compression;

namespace DistTrain.Ingest;

/// <summary>
/// Reads the UCI handwritten digits as scikit-learn ships them: a line of comma-separated integers for each digit, 64 pixels (0 to 16, row-major 8x8) and the class.
/// </summary>
public static class DigitsCsv
{
    private const int Side = 8, PixelMaximum = 16, ClassCount = 10;
    private const int TestStride = 5, TestCountPerClass = 30;

    // The file has 265 kB: a hundred times that is a bomb, or another file.
    private const int MaxByteCount = 1 << 25;

    /// <summary>All digits in file order.</summary>
    /// <param name="path">The file, gzip-compressed.</param>
    /// <exception cref="DataFormatException">It is damaged, or no such file.</exception>
    public static LabelledImages Read(string path)
    {
        byte[] text = Decompress(path);
        List<byte> pixels = new(text.Length / 2), labels = [];
        int lineStart = 0;
        while (lineStart < text.Length)
        {
            int length = text.AsSpan(lineStart).IndexOf((byte)'\n');
            if (length < 0) length = text.Length - lineStart;
            ParseLine(text.AsSpan(lineStart, length).TrimEnd((byte)'\r'), pixels, labels, path, lineStart);
            lineStart += length + 1;
        }
        string[] classNames = [.. Enumerable.Range(0, ClassCount).Select(digit => digit.ToString())];
        return new LabelledImages([.. pixels], [.. labels], 1, Side, Side, classNames, path, PixelMaximum);
    }

    /// <summary>
    /// One part of the digits. Positions are counted within each class, from 0, in file order; positions 4, 9, 14, ... 149 are the test part
    /// (30 of each class, 300 in all), the others the training part (1,497). Both keep file order.
    /// </summary>
    public static LabelledImages Split(LabelledImages all, DataSplit split)
    {
        ArgumentNullException.ThrowIfNull(all);
        Span<int> seen = stackalloc int[ClassCount];
        List<int> chosen = [];
        for (int i = 0; i < all.Count; i++)
        {
            int position = seen[all.Labels[i]]++;
            bool isTest = position % TestStride == TestStride - 1 && position < TestStride * TestCountPerClass;
            if (isTest == (split == DataSplit.Test)) chosen.Add(i);
        }
        return all.Select(chosen.ToArray());
    }

    private static byte[] Decompress(string path)
    {
        using FileStream file = File.OpenRead(path);
        using GZipStream stream = new(file, CompressionMode.Decompress);
        using MemoryStream text = new();
        byte[] part = new byte[1 << 16];
        try
        {
            for (int read; (read = stream.Read(part)) > 0;)
            {
                text.Write(part, 0, read);
                if (text.Length > MaxByteCount) throw new DataFormatException(path, text.Length, $"more than {MaxByteCount:N0} bytes: not the digits");
            }
        }
        catch (InvalidDataException cause)
        {
            throw new DataFormatException(path, text.Length, $"the gzip data are damaged or cut short ({cause.Message})", cause);
        }
        GzipTrailer.Check(file, path, text.Length);
        return text.ToArray();
    }

    private static void ParseLine(ReadOnlySpan<byte> line, List<byte> pixels, List<byte> labels, string path, int offset)
    {
        int column = 0, lineNumber = labels.Count + 1;
        foreach (Range range in line.Split((byte)','))
        {
            ReadOnlySpan<byte> field = line[range];
            int maximum = column < Side * Side ? PixelMaximum : ClassCount - 1;
            if (column > Side * Side) throw new DataFormatException(path, offset, $"line {lineNumber} has more than {(Side * Side) + 1} fields");
            // Fields have one or two digits; anything else is damage, signs and spaces too.
            if (field.Length is 0 or > 2 || field.ContainsAnyExceptInRange((byte)'0', (byte)'9') || Value(field) > maximum)
                throw new DataFormatException(path, offset, $"line {lineNumber}, field {column + 1} of {(Side * Side) + 1}: expected an integer from 0 to {maximum}");
            (column < Side * Side ? pixels : labels).Add((byte)Value(field));
            column++;
        }
        if (column <= Side * Side)
            throw new DataFormatException(path, offset, $"line {lineNumber} has {column} fields, expected {(Side * Side) + 1}: cut short");
    }

    private static int Value(ReadOnlySpan<byte> digits)
    {
        int value = 0;
        foreach (byte digit in digits) value = (value * 10) + (digit - '0');
        return value;
    }
}
