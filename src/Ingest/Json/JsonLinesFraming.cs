namespace DistTrain.Ingest;

/// <summary>Lines of a JSON Lines file. The byte-order mark and lines of nothing but white space are none.</summary>
internal readonly struct JsonLinesFraming(int maxLineByteCount) : IRecordFraming
{
    private const byte LineFeed = (byte)'\n';

    // White space, a line, a byte order mark and what ends the line.
    internal int MaxFrameByteCount => (int)Math.Min(TFRecordOptions.LargestRecordByteCount, (2L * maxLineByteCount) + 4);

    public FrameStatus Read(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame)
    {
        if (offset == 0 && window.Length < 4 && !isFinal) return frame.Need(4);
        int at = offset == 0 ? ByteOrderMark.LengthAt(window) : 0;
        int first = window[at..].IndexOfAnyExcept(" \t\r\n"u8);
        // A file of line ends alone would be kept whole in memory.
        if ((first < 0 ? window.Length - at : first) > maxLineByteCount)
            return frame.Damage($"more than {maxLineByteCount:N0} bytes of white space: no JSON Lines file, or raise MaxLineByteCount", at, 0);
        if (first < 0) return isFinal ? FrameStatus.End : frame.Need((2L * window.Length) + 1);
        at += first;
        int length = window[at..].IndexOf(LineFeed);
        if (length < 0 && !isFinal && window.Length - at <= maxLineByteCount) return frame.Need((2L * window.Length) + 1);
        int end = length < 0 ? window.Length : at + length;
        int next = length < 0 ? end : end + 1;
        return end - at > maxLineByteCount
            ? frame.DamageUntil($"a line of more than {maxLineByteCount:N0} bytes: no JSON Lines file, or raise MaxLineByteCount", at, LineFeed)
            : frame.Set(at, window[at..end].TrimEnd(" \t\r"u8).Length, next, at);
    }

    public FrameStatus Measure(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame) => Read(window, offset, isFinal, ref frame);

    // Text never begins with the bytes of a compressed file.
    public bool Recognizes(ReadOnlySpan<byte> start) => false;
}
