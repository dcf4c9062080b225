namespace DistTrain.Ingest;

/// <summary>How TFRecord files are read.</summary>
public sealed record TFRecordOptions
{
    /// <summary>The longest record that is accepted unless told otherwise: 1 GiB.</summary>
    public const int DefaultMaxRecordByteCount = 1 << 30;

    /// <summary>The longest record there can be: a record lies in one array.</summary>
    internal const int LargestRecordByteCount = int.MaxValue - (1 << 18);

    /// <summary>How the files are compressed. Compressed files can only be read in order.</summary>
    public DataCompression Compression { get; init; }

    /// <summary>Verifies the checksum of each record's data; that of its length is verified always.</summary>
    public bool VerifyChecksums { get; init; } = true;

    /// <summary>A longer record is an error.</summary>
    public int MaxRecordByteCount { get; init; } = DefaultMaxRecordByteCount;

    /// <summary>Reads ahead on a thread of its own; else the thread that takes elements reads too.</summary>
    public bool ReadAhead { get; init; } = true;

    /// <summary>How large the pieces are in which files are read.</summary>
    public int SlabByteCount { get; init; } = SlabPool.DefaultByteCount;
}
