using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>A collective on host memory, its arguments checked: what a transport is given.</summary>
/// <param name="Verb">Barrier to AllToAll.</param>
/// <param name="DType">Of the elements.</param>
/// <param name="Op">How they are reduced.</param>
/// <param name="Root">The root of broadcast and reduce.</param>
/// <param name="Send">First byte of what is sent; 0 where nothing is.</param>
/// <param name="Receive">First byte of the result; 0 where there is none.</param>
/// <param name="ElementCount">Elements: of all data in all-reduce, broadcast and reduce; of one rank's part in reduce-scatter, all-gather and all-to-all.</param>
internal readonly record struct HostCall(CollectiveVerb Verb, DType DType, ReduceOp Op, int Root, nint Send, nint Receive, long ElementCount);

/// <summary>One message on host memory. Laid out as the shim's <c>dt_transfer</c>.</summary>
internal readonly struct HostTransfer(CollectiveVerb verb, int peer, DType dtype, ReduceOp op, nint memory, long elementCount)
{
    internal readonly int Verb = (int)verb;
    internal readonly int Peer = peer;
    internal readonly int ShimDType = ShimNumbers.Of(dtype);
    internal readonly int Op = (int)op;
    internal readonly nint Memory = memory;
    internal readonly long ElementCount = elementCount;
}

/// <summary>
/// What carries bytes between ranks, in host memory. Calls block and come from one thread at a time, except where stated. Failures are thrown as <see cref="CollectiveException"/>s, after
/// which the transport is dead and throws the same at every call.
/// </summary>
internal interface ITransport : IDisposable
{
    string Name { get; }

    int Rank { get; }

    int WorldSize { get; }

    /// <summary>Whether it reduces along <see cref="FixedTree"/> whatever it is asked.</summary>
    bool IsFixedOrder { get; }

    /// <summary>The longest wait. Set from any thread.</summary>
    TimeSpan Timeout { get; set; }

    /// <summary>From any thread, without waiting.</summary>
    CollectiveException? Failure { get; }

    /// <summary>A collective.</summary>
    void Run(in HostCall call);

    /// <summary>Messages at the same time. <see cref="CollectiveVerb.ReceiveReduce"/> is <c>memory = op(received, memory)</c>.</summary>
    void Exchange(ReadOnlySpan<HostTransfer> transfers);

    /// <summary>Collective; null for a negative color.</summary>
    ITransport? Split(int color, int key);

    /// <summary>Collective; zeroed, aligned to pages.</summary>
    nint Allocate(long byteCount);

    /// <summary>Collective; on a dead transport local.</summary>
    void Free(nint memory);

    /// <summary>From any thread.</summary>
    void Abort(string reason);

    /// <summary>From any thread.</summary>
    IReadOnlyList<FlightRecord> FlightRecords(int rank);

    /// <summary>Keeps the transport's memory mapped, even after it was disposed, until <see cref="Release"/>: tensors may still lie in it.</summary>
    void Hold();

    /// <summary>The counterpart of <see cref="Hold"/>.</summary>
    void Release();
}
