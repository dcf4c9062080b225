using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Every replica computes with the whole model, but owns only its slices of what training keeps: of the optimizer's state (stage 1), of gradients too (stage 2), and of parameters too (stage 3)
/// (ZeRO: Rajbhandari et al. 2020, arXiv 1910.02054; FSDP: Zhao et al. 2023, arXiv 2304.11277). Synchronous; gives what <see cref="MirroredStrategy"/> gives. With Adam in f32 a parameter takes
/// 16 bytes on each of n replicas there, and here 8 + 8/n, 4 + 12/n and 16/n. The optimizer must change each element by itself, as ours do.
/// </summary>
public sealed class ShardedStrategy : Strategy
{
    /// <summary>Replicas of this process.</summary>
    /// <param name="devices">One for each replica, all of one kind.</param>
    /// <param name="stage">1, 2 or 3.</param>
    /// <param name="options">How replicas communicate.</param>
    /// <param name="ownsDevices">Whether devices are disposed with the strategy.</param>
    /// <exception cref="ArgumentException">No devices, one twice, different kinds, or no such stage.</exception>
    public ShardedStrategy(IReadOnlyList<ComputeDevice> devices, int stage = 2, CommunicatorOptions? options = null, bool ownsDevices = false)
        : base("sharded", Join(CheckDevices("sharded", devices, CheckStage(stage)), options), ownsDevices) => Stage = stage;

    /// <summary>One of several processes.</summary>
    /// <param name="device">This process's device.</param>
    /// <param name="communicator">Joins the processes; disposed with the strategy.</param>
    /// <param name="stage">1, 2 or 3; the same on all.</param>
    /// <param name="ownsDevice">Whether the device is disposed with the strategy.</param>
    /// <exception cref="ArgumentException">No such stage.</exception>
    public ShardedStrategy(ComputeDevice device, ICommunicator communicator, int stage = 2, bool ownsDevice = false)
        : base("sharded", [new Replica(0, CheckDevices("sharded", [device], CheckStage(stage))[0], communicator)], ownsDevice) => Stage = stage;

    /// <summary>What is sharded: 1 the optimizer's state, 2 gradients too, 3 parameters too.</summary>
    public int Stage { get; }

    /// <inheritdoc/>
    /// <remarks>
    /// The optimizer is made twice: over the model's parameters, to know which it takes, and over this replica's slices of those. Under stage 3 the model has values in passes only, and while
    /// <see cref="ReplicaVariables.Gather"/> holds them; they are gone when the variables are disposed.
    /// </remarks>
    /// <exception cref="ArgumentException">As for all strategies; or virtual shards or compression are asked for, or the optimizer chooses parameters by their shapes.</exception>
    public override ReplicaVariables CreateVariables(Replica replica, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(replica);
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(optimizer);
        if (options is { VirtualShardCount: > 0 }) throw new ArgumentException("sharded has no virtual shards: their sums are made of whole gradients; mirrored and multi-worker have them", nameof(options));
        if (options is { Compression: not null }) throw new ArgumentException($"sharded reduces gradients by slices, which compression {options.Compression.Name} does not: leave it out, or use mirrored or multi-worker", nameof(options));
        return Own(replica, model, () => ShardedVariables.Create(replica, model, optimizer, options ?? new VariableOptions(), Stage));
    }

    // True, so that the check comes before anything is made.
    private static bool CheckStage(int stage) => stage is >= 1 and <= 3 ? true
        : throw new ArgumentException($"sharded: there is no stage {stage}; 1 shards the optimizer's state, 2 gradients too, 3 parameters too", nameof(stage));
}
