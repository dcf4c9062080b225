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
        if (left == 0 || (window.IsEmpty && offset > 0)) return FrameStatus.End;
        return left < 0
            ? frame.Damage($"the file has {offset + window.Length:N0} bytes, fewer than its header of {_headerByteCount:N0} and footer of {_footerByteCount:N0}", 0, 0)
            : frame.Damage($"{left:N0} bytes are left over, a record has {_recordByteCount:N0}: cut short, or a header or footer that the options do not say", Math.Min(lead, window.Length), 0);
    }

    /// <inheritdoc/>
    public FrameStatus Measure(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame) => Read(window, offset, isFinal, ref frame);

    /// <summary>Any bytes may be such records: compression is found by the name only.</summary>
    public bool Recognizes(ReadOnlySpan<byte> start) => true;
}
