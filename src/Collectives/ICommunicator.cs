using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// A group of ranks that exchange tensors. All ranks must call the same collectives in the same order; each call is compared, and a difference is an error on every rank instead of a hang.
/// Every wait ends by the <see cref="Timeout"/>. After a failure the communicator is dead and every call throws the same <see cref="CollectiveException"/>; make a new one.
/// One thread at a time may call; <see cref="Abort"/>, <see cref="Failure"/> and <see cref="FlightRecords"/> may be called from any thread at any time.
/// The verbs (<c>AllReduce</c>, <c>Broadcast</c>, ...) are methods of <see cref="CommunicatorVerbs"/>.
/// </summary>
public interface ICommunicator : IDisposable
{
    /// <summary>This rank, 0 to <see cref="WorldSize"/> - 1.</summary>
    int Rank { get; }

    /// <summary>Ranks of the group.</summary>
    int WorldSize { get; }

    /// <summary>What carries the bytes: <c>inprocess</c>, <c>shm</c>, <c>mpi</c> or <c>nccl</c>.</summary>
    string Transport { get; }

    /// <summary>Whether reductions add along <see cref="FixedTree"/> over the ranks, whatever the size: then results do not depend on how data were divided.</summary>
    bool IsFixedOrder { get; }

    /// <summary>The longest that a wait for others may take.</summary>
    TimeSpan Timeout { get; set; }

    /// <summary>Why the communicator is dead; null while it lives. Never blocks.</summary>
    CollectiveException? Failure { get; }

    /// <summary>
    /// Does a collective and returns when this rank's part is done: on a CPU device when the result is there, on a GPU whose transport works on its streams when it is enqueued.
    /// Behind collectives that were started before.
    /// </summary>
    /// <param name="stream">A stream of the tensors' device; the collective comes behind its work, and work enqueued later comes behind the collective.</param>
    /// <param name="collective">What to do.</param>
    /// <exception cref="ArgumentException">Tensors do not fit the verb, each other or the stream; nothing was sent, the communicator lives on.</exception>
    /// <exception cref="CollectiveException">The communicator failed.</exception>
    void Run(ExecutionStream stream, in Collective collective);

    /// <summary>
    /// Starts a collective and returns at once. Collectives run in the order in which they were started, on a thread of the communicator. The tensors' memory is held until the end;
    /// leave their elements alone until the handle was waited for.
    /// </summary>
    /// <exception cref="ArgumentException">As for <see cref="Run"/>. All failures later on are thrown by the handle.</exception>
    /// <exception cref="CollectiveException">The communicator failed before.</exception>
    CollectiveHandle Start(ExecutionStream stream, in Collective collective);

    /// <summary>Sends to and receives from other ranks, all at the same time; returns when all are done. Messages between the same two ranks keep their order.</summary>
    /// <exception cref="ArgumentException">A tensor does not lie on the stream's device, or a peer is none; nothing was sent.</exception>
    /// <exception cref="CollectiveException">The communicator failed.</exception>
    void Exchange(ExecutionStream stream, params ReadOnlySpan<PeerTransfer> transfers);

    /// <summary>
    /// Memory that the transport moves fastest: mapped by all peers and reduced where it lies (shared memory). Collective, with equal sizes on all ranks; zeroed. Its contents are undefined
    /// after a failure.
    /// </summary>
    /// <param name="device">The device whose tensors will lie in it.</param>
    /// <param name="byteCount">At least 1.</param>
    /// <exception cref="CollectiveException">The communicator failed, or there is no such memory.</exception>
    RegisteredMemory Allocate(ComputeDevice device, long byteCount);

    /// <summary>Forms sub-groups; collective. Ranks that give the same color are together, ordered by key and then by rank here.</summary>
    /// <param name="color">Any number; negative: in no group.</param>
    /// <param name="key">Orders the ranks.</param>
    /// <returns>The group, to be disposed by the caller; null for a negative color.</returns>
    ICommunicator? Split(int color, int key = 0);

    /// <summary>Kills the communicator on all ranks and wakes all who wait; they get <see cref="CommunicatorAbortedException"/> with the reason.</summary>
    void Abort(string reason);

    /// <summary>The last calls of a rank, oldest first, at most 256; where the transport shares them, of other ranks and dead ones too, else empty.</summary>
    IReadOnlyList<FlightRecord> FlightRecords(int rank);
}
