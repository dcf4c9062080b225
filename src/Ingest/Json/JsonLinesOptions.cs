using System.Text.Json;

namespace DistTrain.Ingest;

/// <summary>How JSON Lines files are read.</summary>
public sealed record JsonLinesOptions : RecordFileOptions
{
    /// <summary>A longer line is an error; so is more white space before one, which ends the file. 16 MiB.</summary>
    public int MaxLineByteCount { get; init; } = 1 << 24;

    /// <summary>What the JSON may hold beside the standard: comments, trailing commas; how deep it may be.</summary>
    public JsonReaderOptions Reader { get; init; }

    /// <summary>Threads that parse; inline by default. The parser must be thread-safe then.</summary>
    public Parallelism Parallelism { get; init; }
}
