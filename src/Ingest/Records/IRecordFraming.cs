namespace DistTrain.Ingest;

/// <summary>What a framing found at the front of a window of bytes.</summary>
public enum FrameStatus
{
    /// <summary>A whole record: <see cref="RecordFrame.Set"/> was called.</summary>
    Complete,

    /// <summary>Not enough to tell: <see cref="RecordFrame.Need"/> was called. Never the answer to a window that is final.</summary>
    NeedsMore,

    /// <summary>No more records in this source, whatever bytes are left.</summary>
    End,

    /// <summary>Something that is no record: <see cref="RecordFrame.Damage"/> was called.</summary>
    Damaged,
}

/// <summary>
/// How a format cuts bytes into records. One framing serves slabs and <see cref="System.IO.Pipelines.PipeReader"/> alike (<see cref="RecordSequence"/>), because it only ever
/// looks at a contiguous window that starts at a record; whoever reads joins the pieces. Implemented by structs, so that the compiler makes code for each of its own.
/// Keeps nothing between calls: what it answers follows from its settings, the window and the offset.
/// </summary>
public interface IRecordFraming
{
    /// <summary>Looks for the record at the front of <paramref name="window"/>; verifies what can be verified of it while it is in the cache.</summary>
    /// <param name="window">The bytes from the record on, as far as they are there.</param>
    /// <param name="offset">Bytes of the source before the window.</param>
    /// <param name="isFinal">The source ends with the window. An empty final window is the regular end of a source.</param>
    /// <param name="frame">Takes the answer.</param>
    FrameStatus Read(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame);

    /// <summary>
    /// The same for finding out only where the records lie: <see cref="RecordFrame.ByteCount"/> is all that is looked at, so that a format with lengths in its headers
    /// need not have the data in the window.
    /// </summary>
    FrameStatus Measure(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame);

    /// <summary>
    /// Whether a source that begins with these bytes (up to 16) is certainly of this format, so that it is not taken for compressed data that happens to look alike.
    /// </summary>
    bool Recognizes(ReadOnlySpan<byte> start);
}
