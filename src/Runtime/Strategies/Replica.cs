using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>One copy of the model at work: a device, and the way to the other replicas. What a strategy's program runs on, a thread each.</summary>
public sealed class Replica
{
    [ThreadStatic]
    private static Replica? t_current;

    internal Replica(int localIndex, ComputeDevice device, ICommunicator communicator)
        : this(device, communicator, communicator.Rank, communicator.WorldSize) => LocalIndex = localIndex;

    /// <summary>One of several that do not communicate with each other.</summary>
    internal Replica(ComputeDevice device, ICommunicator communicator, int index, int count) =>
        (Device, Communicator, Index, Count, Tag) = (device, communicator, index, count, new KeyValuePair<string, object?>(TrainingMeter.ReplicaTag, index));

    /// <summary>Its number among all replicas of all processes, from 0.</summary>
    public int Index { get; }

    /// <summary>Replicas in all.</summary>
    public int Count { get; }

    /// <summary>Its number among the replicas of this process.</summary>
    public int LocalIndex { get; }

    /// <summary>Whether it is the one that speaks for all: logs, files.</summary>
    public bool IsFirst => Index == 0;

    /// <summary>Where it computes.</summary>
    public ComputeDevice Device { get; }

    /// <summary>The stream of its work.</summary>
    public ExecutionStream Stream => Device.DefaultStream;

    /// <summary>Joins all replicas. To be used from the replica's thread.</summary>
    public ICommunicator Communicator { get; }

    /// <summary>Its part of each batch.</summary>
    public BatchShard Shard => new(Index, Count);

    /// <summary>The one whose program the calling thread runs; null: none.</summary>
    internal static Replica? Current
    {
        get => t_current;
        set => t_current = value;
    }

    /// <summary>Where its spans are recorded; null: nowhere.</summary>
    internal TraceRecorder? Trace { get; set; }

    /// <summary>The step it is at; -1 before the first.</summary>
    internal long Step { get; set; } = -1;

    /// <summary>What its measurements are marked by.</summary>
    internal KeyValuePair<string, object?> Tag { get; }

    /// <summary>For messages.</summary>
    public override string ToString() => $"replica {Index} of {Count} on {Device.Name}";
}
