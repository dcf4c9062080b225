namespace DistTrain.Ingest;

/// <summary>How TFRecord files are read.</summary>
public sealed record TFRecordOptions : RecordFileOptions
{
    /// <summary>The longest record that is accepted unless told otherwise: 1 GiB.</summary>
    public const int DefaultMaxRecordByteCount = 1 << 30;

    /// <summary>The longest record there can be: a record lies in one array.</summary>
    internal const int LargestRecordByteCount = int.MaxValue - (1 << 18);

    /// <summary>Verifies the checksum of each record's data; that of its length is verified always.</summary>
    public bool VerifyChecksums { get; init; } = true;

    /// <summary>A longer record is an error.</summary>
    public int MaxRecordByteCount { get; init; } = DefaultMaxRecordByteCount;
}
