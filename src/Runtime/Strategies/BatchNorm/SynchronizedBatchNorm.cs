using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// The batch norms of one replica's model that are joined with those of the other replicas, so that they normalise by the statistics of the whole batch. Their collectives run on the strategy's
/// communicator among those of the gradient buckets: both are started by the passes, which take the same way on every replica, in the same order everywhere. Disposing it parts them.
/// </summary>
internal sealed class SynchronizedBatchNorm : IDisposable
{
    private readonly BatchNormModule[] _modules;

    internal SynchronizedBatchNorm(Module model, ICommunicator communicator, VariableOptions options)
    {
        // A replica alone has the whole batch.
        _modules = communicator.WorldSize == 1 ? [] : Wanted(model, options);
        foreach (BatchNormModule module in _modules) module.Replicas = communicator;
        HashSet<StateTensor> joined = [.. _modules.SelectMany(module => new[] { module.RunningMean, module.RunningVariance })];
        OwnState = new OwnState(communicator, [.. model.StateTensors().Where(state => !joined.Contains(state)).Select(state => state.Value)]);
    }

    /// <summary>Whether replicas meet in every pass.</summary>
    internal bool IsUsed => _modules.Length > 0;

    /// <summary>The model's state that each replica changes by its own samples; all other state is the same on all.</summary>
    internal OwnState OwnState { get; }

    /// <summary>The batch norms that are to be joined.</summary>
    internal static BatchNormModule[] Wanted(Module model, VariableOptions options) =>
        [.. All(model).OfType<BatchNormModule>().Where(module => module.Synchronizes ?? options.SynchronizesBatchNorm)];

    public void Dispose()
    {
        foreach (BatchNormModule module in _modules) module.Replicas = null;
    }

    private static IEnumerable<Module> All(Module module) => module.Children.SelectMany(child => All(child.Module)).Prepend(module);
}
