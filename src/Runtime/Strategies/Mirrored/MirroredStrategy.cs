using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// A replica for each of several devices of this process, with a copy of all variables each; synchronous. Replicas are threads, joined in memory; several GPUs are joined by NCCL where it is
/// there.
/// </summary>
public sealed class MirroredStrategy : Strategy
{
    /// <param name="devices">One for each replica, all of one kind.</param>
    /// <param name="options">How replicas communicate.</param>
    /// <param name="ownsDevices">Whether devices are disposed with the strategy.</param>
    /// <exception cref="ArgumentException">No devices, one twice, or different kinds.</exception>
    public MirroredStrategy(IReadOnlyList<ComputeDevice> devices, CommunicatorOptions? options = null, bool ownsDevices = false)
        : base("mirrored", Join(CheckDevices("mirrored", devices), options), ownsDevices)
    {
    }

    /// <inheritdoc/>
    public override ReplicaVariables CreateVariables(Replica replica, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(replica);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(optimizer);
        return Own(replica, model, () => options is { VirtualShardCount: > 0 } ? new VirtualShardVariables(replica, model, optimizer, options) : new MirroredVariables(replica, model, optimizer, options ?? new VariableOptions()));
    }
}
