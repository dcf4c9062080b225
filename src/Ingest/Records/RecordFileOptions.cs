namespace DistTrain.Ingest;

/// <summary>How files of records are read, whatever their format.</summary>
public abstract record RecordFileOptions
{
    /// <summary>How the files are compressed. Compressed files can only be read in order.</summary>
    public DataCompression Compression { get; init; }

    /// <summary>Reads ahead on a thread of its own; else the thread that takes elements reads too.</summary>
    public bool ReadAhead { get; init; } = true;

    /// <summary>Bytes of the slabs that files are read into, a power of two from 64 KiB to 64 MiB.</summary>
    public int SlabByteCount
    {
        get;
        init
        {
            if (value is < SlabPool.SmallestByteCount or > (1 << 26) || !int.IsPow2(value))
                throw new ArgumentOutOfRangeException(nameof(value), value, "a power of two from 65,536 to 67,108,864 is expected");
            field = value;
        }
    } = SlabPool.DefaultByteCount;
}
