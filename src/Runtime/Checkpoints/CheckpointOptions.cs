namespace DistTrain.Runtime;

/// <summary>When training saves where it stands, and whether it goes on from there.</summary>
public sealed record CheckpointOptions
{
    /// <summary>The local folder; one job's, seen by all its processes. Made if it is not there. Null with <see cref="Storage"/>.</summary>
    public string? Folder { get; init; }

    /// <summary>Where checkpoints lie instead of in a local folder; one job's, seen by all its processes. Stays the caller's.</summary>
    public ICheckpointStorage? Storage { get; init; }

    /// <summary>Steps between two checkpoints; 0: only by <see cref="Every"/>, at the ends of epochs, and when training stops.</summary>
    public long EveryStepCount { get; init; }

    /// <summary>Time between two checkpoints; null: none is taken by the clock.</summary>
    public TimeSpan? Every { get; init; }

    /// <summary>Whether the end of every epoch is saved.</summary>
    public bool EveryEpoch { get; init; } = true;

    /// <summary>How many of the newest checkpoints are kept; older ones are removed once a newer one is complete. At least 2, so that a damaged one has a predecessor.</summary>
    public int KeepCount { get; init; } = 3;

    /// <summary>Whether the checkpoint of the epoch with the lowest validation loss is kept besides.</summary>
    public bool KeepsBest { get; init; } = true;

    /// <summary>Go on from the newest checkpoint that is whole, if there is one. Else the run begins anew, and the checkpoints found are removed when its own first one is complete.</summary>
    public bool Resumes { get; init; } = true;

    /// <summary>Told what a user should know: which checkpoint is gone on from, which was damaged, what could not be written. Called on any thread.</summary>
    public Action<string>? Say { get; init; }

    /// <summary>How long the last checkpoint of a run, or that of a pre-emption, is tried again where it can't be written: a share may be away for a moment. Others are left to the next.</summary>
    public TimeSpan RetryFor { get; init; } = TimeSpan.FromSeconds(5);

    internal TimeProvider Clock { get; init; } = TimeProvider.System;

    internal ICheckpointStorage Place => Storage ?? new LocalCheckpointStorage(Folder!);

    internal void Check()
    {
        if (string.IsNullOrEmpty(Folder) == Storage is null) throw new ArgumentException($"checkpoints need either {nameof(Folder)} or {nameof(Storage)}, {(Storage is null ? "neither is" : "both are")} given");
        ArgumentOutOfRangeException.ThrowIfNegative(EveryStepCount);
        ArgumentOutOfRangeException.ThrowIfLessThan(KeepCount, 2);
        ArgumentOutOfRangeException.ThrowIfLessThan(RetryFor, TimeSpan.Zero);
        if (Every is { } every) ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(every, TimeSpan.Zero, nameof(Every));
    }
}
