namespace DistTrain.Ingest;

/// <summary>Rows of a CSV file. The byte-order mark, the header and blank lines are no rows.</summary>
internal readonly struct CsvFraming(byte separator, bool hasHeader, int maxRowByteCount) : IRecordFraming
{
    private const byte LineFeed = (byte)'\n', CarriageReturn = (byte)'\r';

    // A header and a row, blank lines before each, a byte order mark and what ends the two rows.
    internal int MaxFrameByteCount => (int)Math.Min(TFRecordOptions.LargestRecordByteCount, (4L * maxRowByteCount) + 7);

    public FrameStatus Read(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame)
    {
        int at = 0;
        FrameStatus status;
        if (offset == 0)
        {
            if (window.Length < 4 && !isFinal) return frame.Need(4);
            at = ByteOrderMark.LengthAt(window);
            if (hasHeader && !(TryPassBlankLines(window, isFinal, ref at, ref frame, out status) && TryPassRow(window, isFinal, ref at, ref frame, out status))) return status;
        }
        if (!TryPassBlankLines(window, isFinal, ref at, ref frame, out status)) return status;
        int start = at;
        return TryPassRow(window, isFinal, ref at, ref frame, out status) ? frame.Set(start, LengthOf(window[start..at]), at, start) : status;
    }

    public FrameStatus Measure(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame) => Read(window, offset, isFinal, ref frame);

    // Text never begins with the bytes of a compressed file.
    public bool Recognizes(ReadOnlySpan<byte> start) => false;

    private bool TryPassRow(ReadOnlySpan<byte> window, bool isFinal, ref int at, ref RecordFrame frame, out FrameStatus status)
    {
        status = FrameStatus.Complete;
        // What lies beyond the limit and its line end is not looked at, so that the answer does not hang on how much happens to be there.
        int reach = (int)Math.Min(window.Length - at, maxRowByteCount + 2L);
        if (CsvSplitter.TryFindRow(window.Slice(at, reach), separator, isFinal && reach <= maxRowByteCount + 1L, out int length, out int consumed, out int problemAt) && length <= maxRowByteCount)
        {
            at += consumed;
            return true;
        }
        if (problemAt >= 0 && problemAt <= maxRowByteCount)
        {
            // The next line is the best guess at where the next row begins.
            status = frame.DamageUntil(Describe(window[at..], problemAt), at + problemAt, LineFeed);
        }
        else if (problemAt >= 0 || length > maxRowByteCount || reach > maxRowByteCount + 1L)
        {
            status = frame.Damage($"a row of more than {maxRowByteCount:N0} bytes: a quote that is never closed, or raise MaxRowByteCount", at, 0);
        }
        else
        {
            // Twice as much: a long row is looked at a few times, not once for each piece.
            status = frame.Need(2L * window.Length + 1);
        }
        return false;
    }

    private string Describe(ReadOnlySpan<byte> row, int problemAt) => row[problemAt] != '"'
        ? "behind the closing quote of a field comes neither a separator nor a line end: quotes inside a quoted field are to be doubled"
        : CsvSplitter.IsInside(row, problemAt, separator) ? "a quote inside a field without quotes: the field is to be quoted, and the quote doubled" : "a quoted field that is never closed";

    // Where the line feed is known, what stands before it is the row's, but for one carriage return.
    private static int LengthOf(ReadOnlySpan<byte> row)
    {
        int length = row.Length;
        if (row[length - 1] == LineFeed) length--;
        return length > 0 && row[length - 1] == CarriageReturn ? length - 1 : length;
    }

    // Not beyond the longest row: a file of line ends alone would be kept whole in memory.
    private bool TryPassBlankLines(ReadOnlySpan<byte> window, bool isFinal, ref int at, ref RecordFrame frame, out FrameStatus status)
    {
        int start = at;
        at = PassBlankLines(window, at);
        status = at - start > maxRowByteCount ? frame.Damage($"more than {maxRowByteCount:N0} bytes of blank lines", start, 0)
            : at < window.Length ? FrameStatus.Complete
            : isFinal ? FrameStatus.End : frame.Need((2L * window.Length) + 1);
        return status == FrameStatus.Complete;
    }

    private static int PassBlankLines(ReadOnlySpan<byte> window, int at)
    {
        while (at < window.Length)
        {
            if (window[at] == LineFeed) at++;
            else if (window[at] == CarriageReturn && at + 1 < window.Length && window[at + 1] == LineFeed) at += 2;
            else break;
        }
        return at;
    }
}
