using System.Text.Unicode;

namespace DistTrain.Ingest;

/// <summary>
/// Lines of UTF-8 that end with LF or CR LF; the last may do without. A byte order mark at the beginning is passed over. Empty lines are records of 0 bytes.
/// </summary>
public readonly struct LineFraming : IRecordFraming
{
    // A longer line is looked at a few times, not once for each piece that comes; of a shorter one no more is asked for than is there.
    private const int LongLineByteCount = 1 << 12;

    private readonly int _maxLineByteCount;
    private readonly bool _verifiesText;

    /// <summary>A framing.</summary>
    /// <param name="maxLineByteCount">A longer line is an error.</param>
    /// <param name="verifiesText">Whether lines must be UTF-8.</param>
    public LineFraming(int maxLineByteCount, bool verifiesText = true)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxLineByteCount);
        _maxLineByteCount = Math.Min(maxLineByteCount, TFRecordOptions.LargestRecordByteCount);
        _verifiesText = verifiesText;
    }

    // Before the text: a byte order mark; behind it: two characters that end the line.
    internal int MaxFrameByteCount => _maxLineByteCount + 5;

    /// <inheritdoc/>
    public FrameStatus Read(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame)
    {
        FrameStatus status = Measure(window, offset, isFinal, ref frame);
        if (status != FrameStatus.Complete || !_verifiesText) return status;
        ReadOnlySpan<byte> line = window.Slice(frame.DataStart, frame.DataLength);
        return Utf8.IsValid(line) ? status : NoText(line, ref frame);
    }

    /// <inheritdoc/>
    public FrameStatus Measure(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame)
    {
        int end = window.IndexOf((byte)'\n'), byteCount = end + 1;
        if (end < 0)
        {
            if (window.Length > MaxFrameByteCount) return TooLong(ref frame);
            if (!isFinal) return frame.Need(window.Length < LongLineByteCount ? window.Length + 1L : Math.Min(2L * window.Length, MaxFrameByteCount + 1L));
            if (window.IsEmpty) return FrameStatus.End;
            byteCount = end = window.Length;
        }
        else if (end > 0 && window[end - 1] == '\r') end--;
        int start = offset == 0 ? ByteOrderMark.LengthAt(window) : 0;
        return end - start > _maxLineByteCount ? TooLong(ref frame) : frame.Set(start, end - start, byteCount);
    }

    /// <summary>Nothing compressed is UTF-8.</summary>
    public bool Recognizes(ReadOnlySpan<byte> start) => false;

    // The same text whether the line's end is in the window already or not.
    private FrameStatus TooLong(ref RecordFrame frame) => frame.DamageUntil(
        $"the line has more than the {_maxLineByteCount:N0} bytes that are accepted; raise the limit if the file is trusted, or is it no text?", 0, (byte)'\n');

    private static FrameStatus NoText(ReadOnlySpan<byte> line, ref RecordFrame frame)
    {
        int bad = 0;
        while (System.Text.Rune.DecodeFromUtf8(line[bad..], out _, out int consumed) == System.Buffers.OperationStatus.Done) bad += consumed;
        return frame.Damage($"byte 0x{line[bad]:x2} begins no character of UTF-8: the file is damaged or has another encoding", frame.DataStart + bad, frame.ByteCount);
    }
}
