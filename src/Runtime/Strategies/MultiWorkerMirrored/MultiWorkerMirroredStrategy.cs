using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// The same as <see cref="MirroredStrategy"/> over processes, on one host or many: every process has one replica, with a copy of all variables; synchronous.
/// </summary>
public sealed class MultiWorkerMirroredStrategy : Strategy
{
    /// <param name="device">This process's device.</param>
    /// <param name="communicator">Joins the processes; disposed with the strategy.</param>
    /// <param name="ownsDevice">Whether the device is disposed with the strategy.</param>
    public MultiWorkerMirroredStrategy(ComputeDevice device, ICommunicator communicator, bool ownsDevice = false)
        : base("multi-worker", [new Replica(0, CheckDevices("multi-worker", [device])[0], communicator)], ownsDevice)
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
