using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>One of several messages that are on their way at the same time.</summary>
public readonly record struct PeerTransfer
{
    private PeerTransfer(CollectiveVerb verb, int peer, Tensor tensor, ReduceOp op) => (Verb, Peer, Tensor, Op) = (verb, peer, tensor, op);

    /// <summary><see cref="CollectiveVerb.Send"/>, <see cref="CollectiveVerb.Receive"/> or <see cref="CollectiveVerb.ReceiveReduce"/>.</summary>
    public CollectiveVerb Verb { get; }

    /// <summary>The other rank.</summary>
    public int Peer { get; }

    /// <summary>What is sent, or where it goes.</summary>
    public Tensor Tensor { get; }

    /// <summary>How what comes is reduced into what is there.</summary>
    public ReduceOp Op { get; }

    /// <summary>Sends a tensor.</summary>
    public static PeerTransfer Send(Tensor tensor, int peer) => new(CollectiveVerb.Send, peer, tensor, default);

    /// <summary>Receives into a tensor.</summary>
    public static PeerTransfer Receive(Tensor tensor, int peer) => new(CollectiveVerb.Receive, peer, tensor, default);

    /// <summary>Receives and reduces into a tensor: <c>tensor = op(received, tensor)</c>. Not <see cref="ReduceOp.Average"/>.</summary>
    public static PeerTransfer ReceiveReduce(Tensor tensor, int peer, ReduceOp op = ReduceOp.Sum) => new(CollectiveVerb.ReceiveReduce, peer, tensor, op);
}
