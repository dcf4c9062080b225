using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>Where in a window a framing found a record, how much more it needs, or what is wrong. Positions count from the start of the window.</summary>
public struct RecordFrame
{
    /// <summary>Where the record's data begin.</summary>
    public int DataStart { get; private set; }

    /// <summary>Bytes of data.</summary>
    public int DataLength { get; private set; }

    /// <summary>Bytes before the record that belong to none: a header, blank lines. Where the record begins for messages.</summary>
    public int LeadByteCount { get; private set; }

    /// <summary>
    /// Bytes up to the next record. Of a damaged one: how far to go on behind it; may be more than the window holds; 0 if that can't be told and the rest of the
    /// source is lost.
    /// </summary>
    public long ByteCount { get; private set; }

    /// <summary>Of a damaged one: the byte behind which to go on, the first at or behind <see cref="ProblemStart"/>, wherever it comes; -1 if <see cref="ByteCount"/> tells.</summary>
    public int Delimiter { get; private set; }

    /// <summary>Bytes that the window must have before asking again makes sense.</summary>
    public long NeededByteCount { get; private set; }

    /// <summary>What is wrong: what was found, what was expected.</summary>
    public string? Problem { get; private set; }

    /// <summary>Where in the window it is wrong.</summary>
    public long ProblemStart { get; private set; }

    /// <summary>A whole record.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public FrameStatus Set(int dataStart, int dataLength, int byteCount, int leadByteCount = 0)
    {
        LeadByteCount = leadByteCount;
        DataStart = dataStart;
        DataLength = dataLength;
        ByteCount = byteCount;
        return FrameStatus.Complete;
    }

    /// <summary>More is needed: so many bytes in all.</summary>
    public FrameStatus Need(long byteCount)
    {
        NeededByteCount = byteCount;
        return FrameStatus.NeedsMore;
    }

    /// <summary>What is needed, as far as memory can hold it: more than is there, in any case.</summary>
    /// <exception cref="DataFormatException">It can't hold more.</exception>
    internal readonly long NeededIn(string file, long offset, int there) => there < SlabPool.LargestByteCount
        ? Math.Min(NeededByteCount, SlabPool.LargestByteCount)
        : throw new DataFormatException(file, offset, $"no record ends within {there:N0} bytes, more than one can have");

    /// <summary>No record.</summary>
    /// <param name="problem">What was found, what was expected.</param>
    /// <param name="start">Where in the window.</param>
    /// <param name="byteCount">Where to go on; 0: nowhere.</param>
    public FrameStatus Damage(string problem, long start, long byteCount)
    {
        LeadByteCount = 0;
        Problem = problem;
        ProblemStart = start;
        ByteCount = byteCount;
        Delimiter = -1;
        return FrameStatus.Damaged;
    }

    /// <summary>No record; the next one begins behind the next byte of some value, which need not be in the window.</summary>
    /// <param name="problem">What was found, what was expected.</param>
    /// <param name="start">Where in the window.</param>
    /// <param name="delimiter">The byte that ends a record: a line feed.</param>
    public FrameStatus DamageUntil(string problem, long start, byte delimiter)
    {
        Damage(problem, start, 0);
        Delimiter = delimiter;
        return FrameStatus.Damaged;
    }
}
