namespace DistTrain.Runtime;

/// <summary>How a parameter server deals with its workers.</summary>
public sealed record ParameterStoreOptions
{
    /// <summary>
    /// No gradient is applied that is more updates old than this: workers that are ahead wait before they take another step (stale synchronous parallel, Ho et al. 2013). Null: nobody waits.
    /// Needs one server.
    /// </summary>
    public int? StalenessBound { get; init; }

    /// <summary>
    /// Gradients whose mean makes one update. 1: asynchronous. n: synchronous with backup workers (Chen et al. 2016, arXiv 1604.00981): the first n of a version make the next one, later ones are
    /// dropped and their steps given out again; with fewer workers left, as many as there are. Needs one server.
    /// </summary>
    public int GradientsPerUpdate { get; init; } = 1;

    /// <summary>
    /// A step that was taken and not pushed for so long is given to somebody else, and its worker is out until it opens a new session. Longer than a step and, for the worker that evaluates between
    /// taking a step and pulling for it, an evaluation.
    /// </summary>
    public TimeSpan WorkerTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>The longest that a call waits for others; longer than <see cref="WorkerTimeout"/>.</summary>
    public TimeSpan WaitTimeout { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Where the server saves itself and goes on from, with steps counted in updates; null: nowhere. Nothing is saved at the ends of epochs, which a server does not know.</summary>
    public CheckpointOptions? Checkpoints { get; init; }

    /// <summary>Threads that an update uses.</summary>
    public int ThreadCount { get; init; } = 1;

    internal void Check()
    {
        if (StalenessBound is { } bound) ArgumentOutOfRangeException.ThrowIfNegative(bound, nameof(StalenessBound));
        ArgumentOutOfRangeException.ThrowIfLessThan(GradientsPerUpdate, 1);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(WorkerTimeout, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(WaitTimeout, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(ThreadCount, 1);
        if (StalenessBound is not null && GradientsPerUpdate > 1) throw new ArgumentException($"a staleness bound of {StalenessBound} and {GradientsPerUpdate} gradients an update: these have a staleness of 0 already; leave the bound out");
        Checkpoints?.Check();
    }
}
