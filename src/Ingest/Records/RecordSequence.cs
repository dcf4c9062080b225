using System.Buffers;

namespace DistTrain.Ingest;

/// <summary>Takes records off a sequence of bytes: for loops over a <see cref="System.IO.Pipelines.PipeReader"/>, with the framings that files are read with.</summary>
public static class RecordSequence
{
    /// <summary>
    /// Takes one whole record off the front of <paramref name="input"/>, which then starts at the next one. The record is a slice of the input, not a copy; only
    /// to frame and verify a record that lies in several segments its bytes are copied for the time of the call.
    /// </summary>
    /// <param name="framing">The format.</param>
    /// <param name="input">What has been read so far, starting at a record.</param>
    /// <param name="place">Names the stream and says where the input starts, for messages; moved on with each record.</param>
    /// <param name="isFinal">Whether the stream ends with the input.</param>
    /// <param name="record">The record's data.</param>
    /// <returns>False if no record is wholly there: more is to be read, or the stream has ended. The input is then untouched.</returns>
    /// <exception cref="DataFormatException">What is there is no record. If it can be passed over, the input starts behind it; else the rest is lost and the input is empty: there is no more to ask for.</exception>
    public static bool TryRead<TFraming>(TFraming framing, ref ReadOnlySequence<byte> input, ref SourceLocation place, bool isFinal, out ReadOnlySequence<byte> record)
        where TFraming : struct, IRecordFraming
    {
        RecordFrame frame = default;
        bool isWhole = input.IsSingleSegment;
        FrameStatus status = framing.Read(input.FirstSpan, place.Offset, isFinal && isWhole, ref frame);
        if (status == FrameStatus.NeedsMore && !isWhole) status = ReadJoined(framing, input, place.Offset, isFinal, ref frame);
        record = default;
        if (status is FrameStatus.NeedsMore or FrameStatus.End) return false;
        if (status == FrameStatus.Damaged)
        {
            string problem = $"record {place.Record}: {frame.Problem}";
            DataFormatException error = new(place.File ?? "stream", place.Offset + frame.ProblemStart, problem);
            PassDamaged(frame, ref input, ref place);
            throw error;
        }
        record = input.Slice(frame.DataStart, frame.DataLength);
        input = input.Slice(frame.ByteCount);
        place = place with { Offset = place.Offset + frame.ByteCount, Record = place.Record + 1 };
        return true;
    }

    private static FrameStatus ReadJoined<TFraming>(TFraming framing, in ReadOnlySequence<byte> input, long offset, bool isFinal, ref RecordFrame frame)
        where TFraming : struct, IRecordFraming
    {
        byte[] joined = [];
        try
        {
            while (true)
            {
                if (frame.NeededByteCount > input.Length && !isFinal) return FrameStatus.NeedsMore;
                // Doubled at least, so that a framing that asks for one byte at a time does not cost a copy for each.
                long length = Math.Min(input.Length, Math.Min(Array.MaxLength, Math.Max(frame.NeededByteCount, 2L * joined.Length)));
                if (joined.Length > 0) ArrayPool<byte>.Shared.Return(joined);
                joined = [];
                joined = ArrayPool<byte>.Shared.Rent((int)length);
                input.Slice(0, length).CopyTo(joined);
                FrameStatus status = framing.Read(joined.AsSpan(0, (int)length), offset, isFinal && length == input.Length, ref frame);
                if (status != FrameStatus.NeedsMore || length == input.Length) return status;
            }
        }
        finally
        {
            if (joined.Length > 0) ArrayPool<byte>.Shared.Return(joined);
        }
    }

    private static void PassDamaged(in RecordFrame frame, ref ReadOnlySequence<byte> input, ref SourceLocation place)
    {
        long passed = frame.ByteCount;
        if (frame.Delimiter >= 0)
        {
            ReadOnlySequence<byte> behind = input.Slice(frame.ProblemStart);
            passed = behind.PositionOf((byte)frame.Delimiter) is { } found ? frame.ProblemStart + behind.Slice(0, found).Length + 1 : 0;
        }
        if (passed == 0 || passed > input.Length) passed = input.Length;
        input = input.Slice(passed);
        place = place with { Offset = place.Offset + passed, Record = place.Record + 1 };
    }
}
