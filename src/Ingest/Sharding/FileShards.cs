namespace DistTrain.Ingest;

/// <summary>
/// Which files each of several replicas reads, and what that makes of an epoch: file i is replica (i mod n)'s. Replicas have batches of their own, of their share of the batch size, and
/// as many as their samples make. An epoch ends with the last replica's last one; those that are done before take part without samples. As everybody knows all counts, everybody knows how
/// many samples a step has over all replicas, without asking: pure arithmetic. Immutable.
/// </summary>
public sealed class FileShards
{
    private readonly string[][] _files;
    private readonly long[] _samples;
    private readonly int[] _batchSizes;

    /// <param name="files">All files, in the same order on all replicas.</param>
    /// <param name="sampleCounts">Samples of each.</param>
    /// <param name="batchSize">Samples of a step of all replicas together, at least one for each.</param>
    /// <param name="replicaCount">Replicas.</param>
    /// <exception cref="ArgumentException">Fewer files than replicas, not a count for each file, or a batch too small.</exception>
    public FileShards(IReadOnlyList<string> files, IReadOnlyList<long> sampleCounts, int batchSize, int replicaCount)
    {
        ArgumentNullException.ThrowIfNull(files);
        ArgumentNullException.ThrowIfNull(sampleCounts);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(replicaCount);
        Choose(ShardPolicy.File, files.Count, replicaCount);
        if (sampleCounts.Count != files.Count) throw new ArgumentException($"{sampleCounts.Count} counts of samples for {files.Count} files: give one for each", nameof(sampleCounts));
        for (int i = 0; i < files.Count; i++)
            if (sampleCounts[i] < 0) throw new ArgumentException($"'{files[i]}' is said to have {sampleCounts[i]} samples: expected 0 or more", nameof(sampleCounts));
        if (batchSize < replicaCount) throw new ArgumentException($"batches of {batchSize} can't be divided among {replicaCount} replicas: take at least as many elements a batch, or fewer replicas", nameof(batchSize));
        BatchSize = batchSize;
        _files = [.. Enumerable.Range(0, replicaCount).Select(replica => files.Where((_, i) => i % replicaCount == replica).ToArray())];
        _samples = [.. Enumerable.Range(0, replicaCount).Select(replica => sampleCounts.Where((_, i) => i % replicaCount == replica).Sum())];
        _batchSizes = [.. Enumerable.Range(0, replicaCount).Select(replica => (int)new BatchShard(replica, replicaCount).Length(batchSize))];
        BatchCount = Enumerable.Range(0, replicaCount).Max(BatchCountOf);
    }

    /// <summary>Replicas.</summary>
    public int ReplicaCount => _files.Length;

    /// <summary>Samples of a step where no replica is done.</summary>
    public int BatchSize { get; }

    /// <summary>Steps of an epoch: batches of the replica that has the most.</summary>
    public long BatchCount { get; }

    /// <summary>Samples of an epoch.</summary>
    public long SampleCount => _samples.Sum();

    /// <summary>A replica's files.</summary>
    public IReadOnlyList<string> FilesOf(int replica) => _files[replica];

    /// <summary>Samples of a replica's files.</summary>
    public long SampleCountOf(int replica) => _samples[replica];

    /// <summary>Samples of a replica's batches, the last one excepted.</summary>
    public int BatchSizeOf(int replica) => _batchSizes[replica];

    /// <summary>A replica's batches in an epoch.</summary>
    public long BatchCountOf(int replica) => (_samples[replica] + _batchSizes[replica] - 1) / _batchSizes[replica];

    /// <summary>A replica's samples in a step; 0 where it is done.</summary>
    /// <param name="replica">Which replica.</param>
    /// <param name="step">From 0 in the epoch.</param>
    public int Rows(int replica, long step) => (int)Math.Clamp(_samples[replica] - (step * _batchSizes[replica]), 0, _batchSizes[replica]);

    /// <summary>The samples of all replicas in a step.</summary>
    public int Rows(long step)
    {
        int rows = 0;
        for (int replica = 0; replica < ReplicaCount; replica++) rows += Rows(replica, step);
        return rows;
    }

    /// <summary>How many samples of the epoch come before a replica's part of a step: all of steps before, then those of replicas before.</summary>
    /// <inheritdoc cref="Rows(int, long)"/>
    public long Offset(int replica, long step)
    {
        long before = 0;
        for (int other = 0; other < ReplicaCount; other++) before += Math.Min(_samples[other], step * _batchSizes[other]) + (other < replica ? Rows(other, step) : 0);
        return before;
    }

    /// <summary>What a policy comes to for so many files and replicas.</summary>
    /// <exception cref="ArgumentException"><see cref="ShardPolicy.File"/> with fewer files than replicas.</exception>
    public static ShardPolicy Choose(ShardPolicy policy, int fileCount, int replicaCount)
    {
        if (!Enum.IsDefined(policy)) throw new ArgumentOutOfRangeException(nameof(policy), policy, "unknown policy");
        if (policy == ShardPolicy.Auto) return fileCount >= replicaCount && fileCount % replicaCount == 0 ? ShardPolicy.File : ShardPolicy.Data;
        if (policy == ShardPolicy.File && fileCount < replicaCount)
            throw new ArgumentException($"{fileCount} file(s) can't be divided among {replicaCount} replicas: some would have none; take {nameof(ShardPolicy)}.{nameof(ShardPolicy.Data)}, which divides batches, or write at least {replicaCount} files");
        return policy;
    }
}
