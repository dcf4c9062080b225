using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Variables and optimizer state on one device, computation on several of this process; synchronous. Saves the optimizer's memory on all devices but one, and moves every parameter to every
/// device each step.
/// </summary>
public sealed class CentralStorageStrategy : Strategy
{
    private readonly ComputeDevice _storage;
    private readonly bool _ownsStorage;

    /// <param name="devices">Where to compute, all of one kind.</param>
    /// <param name="storage">Where variables live; null: the first of the devices.</param>
    /// <param name="options">How replicas communicate.</param>
    /// <param name="ownsDevices">Whether devices, the storage too, are disposed with the strategy.</param>
    /// <exception cref="ArgumentException">No devices, one twice, or different kinds.</exception>
    public CentralStorageStrategy(IReadOnlyList<ComputeDevice> devices, ComputeDevice? storage = null, CommunicatorOptions? options = null, bool ownsDevices = false)
        : base("central-storage", Join(CheckDevices("central-storage", devices), options), ownsDevices)
    {
        _storage = storage ?? devices[0];
        _ownsStorage = ownsDevices && !devices.Contains(_storage);
    }

    /// <inheritdoc/>
    public override ReplicaVariables CreateVariables(Replica replica, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(replica);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(optimizer);
        if (options is { VirtualShardCount: > 0 }) throw new ArgumentException("central-storage has no virtual shards; mirrored and multi-worker have", nameof(options));
        return Own(replica, model, () => new CentralStorageVariables(replica, _storage.DefaultStream, model, optimizer, options ?? new VariableOptions()));
    }

    private protected override void DisposeOwn()
    {
        if (_ownsStorage) _storage.Dispose();
    }
}
