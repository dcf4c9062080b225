namespace DistTrain.Ingest;

/// <summary>The mark that some programs put at the beginning of text files (Unicode Standard, section 23.8).</summary>
internal static class ByteOrderMark
{
    /// <summary>How many bytes the UTF-8 mark takes: 3 or none.</summary>
    internal static int LengthAt(ReadOnlySpan<byte> start) => start.StartsWith((ReadOnlySpan<byte>)[0xef, 0xbb, 0xbf]) ? 3 : 0;

    /// <summary>Whether text begins with the mark of UTF-16, in either byte order: then it is no UTF-8, but could be made so.</summary>
    internal static bool IsUtf16(ReadOnlySpan<byte> start) => start.StartsWith((ReadOnlySpan<byte>)[0xff, 0xfe]) || start.StartsWith((ReadOnlySpan<byte>)[0xfe, 0xff]);
}
