namespace DistTrain.Ingest;

/// <summary>Records of one length, between a header and a footer of the file.</summary>
public readonly struct FixedLengthFraming : IRecordFraming
{
    private readonly int _recordByteCount, _headerByteCount, _footerByteCount;

    /// <summary>A framing.</summary>
    /// <param name="recordByteCount">Bytes of each record, 1 or more.</param>
    /// <param name="headerByteCount">Bytes at the beginning of a file that are passed over.</param>
    /// <param name="footerByteCount">Bytes at its end that are passed over.</param>
    public FixedLengthFraming(int recordByteCount, int headerByteCount = 0, int footerByteCount = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(recordByteCount);
        ArgumentOutOfRangeException.ThrowIfNegative(headerByteCount);
        ArgumentOutOfRangeException.ThrowIfNegative(footerByteCount);
        ArgumentOutOfRangeException.ThrowIfGreaterThan((long)recordByteCount + headerByteCount + footerByteCount, TFRecordOptions.LargestRecordByteCount, nameof(recordByteCount));
        _recordByteCount = recordByteCount;
        _headerByteCount = headerByteCount;
        _footerByteCount = footerByteCount;
    }

    /// <inheritdoc/>
    public FrameStatus Read(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame)
    {
        int lead = offset == 0 ? _headerByteCount : 0, needed = lead + _recordByteCount + _footerByteCount;
        if (window.Length >= needed) return frame.Set(lead, _recordByteCount, lead + _recordByteCount, lead);
        if (!isFinal) return frame.Need(needed);
        int left = window.Length - lead - _footerByteCount;
        if (left == 0) return FrameStatus.End;
        string whole = $"expected is {_headerByteCount:N0} bytes of header, records of {_recordByteCount:N0} and {_footerByteCount:N0} of footer";
        return frame.Damage(left < 0 ? $"the file has {offset + window.Length:N0} bytes, fewer than header and footer: {whole}"
            : $"{left:N0} bytes are left over: {whole}", Math.Max(0, Math.Min(lead, window.Length)), 0);
    }

    /// <inheritdoc/>
    public FrameStatus Measure(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame) => Read(window, offset, isFinal, ref frame);

    /// <summary>Any bytes may be such records: compression is found by the name only.</summary>
    public bool Recognizes(ReadOnlySpan<byte> start) => true;
}
