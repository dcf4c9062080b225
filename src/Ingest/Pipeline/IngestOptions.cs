namespace DistTrain.Ingest;

/// <summary>How a pipeline runs; none of it changes which elements it gives.</summary>
public sealed record IngestOptions
{
    /// <summary>
    /// The most bytes that buffers, caches in memory and slabs of one pipeline may hold together. 0: half of what is free, the limits of the
    /// process's control group included. <c>Auto</c> settings stay below it; fixed ones are taken as given.
    /// </summary>
    public long MemoryBudgetBytes { get; init; }

    /// <summary>Memory that batches are assembled in; null: pinned, 64-byte aligned memory of the managed heap, pooled.</summary>
    public IBatchMemory? BatchMemory { get; init; }

    /// <summary>Where record indices are kept: a folder, or null for beside each file, falling back to the user's cache folder where that can't be written.</summary>
    public string? IndexFolder { get; init; }

    /// <summary>How files are read over HTTP(S); null for the defaults.</summary>
    public HttpSourceOptions? Http { get; init; }

    /// <summary>How long <c>Dispose</c> waits for functions of the user's that still run on background threads.</summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Measures and times each background operator even where nothing is <c>Auto</c>.</summary>
    public bool CollectStatistics { get; init; }
}
