namespace DistTrain.Ingest;

/// <summary>Where each record of one file lies. Records follow each other: each ends where the next one begins. Immutable.</summary>
internal abstract class RecordIndex
{
    /// <summary>How many records there are.</summary>
    internal abstract long Count { get; }

    /// <summary>Bytes before a record, its header counted to it; for <see cref="Count"/>, where the last one ends.</summary>
    internal abstract long OffsetOf(long record);

    /// <summary>Bytes from there to where the record itself begins, as far as that is known without reading.</summary>
    internal virtual int LeadOf(long record) => 0;
}

/// <summary>An index as a list of offsets: 8 bytes a record.</summary>
internal sealed class ListedRecordIndex : RecordIndex
{
    private readonly long[] _offsets;

    /// <param name="offsets">Of each record, and where the last one ends; ascending.</param>
    internal ListedRecordIndex(long[] offsets) => _offsets = offsets;

    internal override long Count => _offsets.Length - 1;

    internal ReadOnlySpan<long> Offsets => _offsets;

    internal override long OffsetOf(long record) => _offsets[record];
}
