using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Everything on one device: what other strategies are compared with, and what a program is tried on first.</summary>
public sealed class OneDeviceStrategy : Strategy
{
    /// <param name="device">The device.</param>
    /// <param name="ownsDevice">Whether it is disposed with the strategy.</param>
    public OneDeviceStrategy(ComputeDevice device, bool ownsDevice = false)
        : base("one-device", [new Replica(0, CheckDevices("one-device", [device])[0], Communicator.InProcess(1)[0])], ownsDevice)
    {
    }

    /// <inheritdoc/>
    public override ReplicaVariables CreateVariables(Replica replica, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(optimizer);
        return Own(replica, model, () => options is { VirtualShardCount: > 0 } ? new VirtualShardVariables(replica, model, optimizer, options) : new LocalVariables(model, ReplicaVariables.Covered(optimizer(model.Parameters()), model.Parameters()), options?.ClipNorm, options?.LossScaling, ownsOptimizer: true));
    }
}
