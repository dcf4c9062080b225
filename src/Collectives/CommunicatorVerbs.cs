using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// The verbs of a communicator. Each blocks as <see cref="ICommunicator.Run"/> does, and has an asynchronous twin that returns a handle. Shapes need only have the stated numbers of
/// elements; the types must be equal. Where two tensors are named, they may be the same memory as stated, but must not overlap otherwise.
/// </summary>
public static class CommunicatorVerbs
{
    extension(ICommunicator communicator)
    {
        /// <summary>Returns when all ranks have called it.</summary>
        public void Barrier(ExecutionStream stream) => communicator.Run(stream, new Collective(CollectiveVerb.Barrier, null, null));

        /// <summary>Reduces a tensor over all ranks, in place: afterwards all have the same bits.</summary>
        public void AllReduce(ExecutionStream stream, Tensor tensor, ReduceOp op = ReduceOp.Sum) =>
            communicator.Run(stream, new Collective(CollectiveVerb.AllReduce, tensor, tensor, op));

        /// <summary>Reduces <paramref name="send"/> over all ranks into <paramref name="receive"/> of as many elements.</summary>
        public void AllReduce(ExecutionStream stream, Tensor send, Tensor receive, ReduceOp op = ReduceOp.Sum) =>
            communicator.Run(stream, new Collective(CollectiveVerb.AllReduce, send, receive, op));

        /// <inheritdoc cref="AllReduce(ICommunicator, ExecutionStream, Tensor, ReduceOp)"/>
        public CollectiveHandle AllReduceAsync(ExecutionStream stream, Tensor tensor, ReduceOp op = ReduceOp.Sum) =>
            communicator.Start(stream, new Collective(CollectiveVerb.AllReduce, tensor, tensor, op));

        /// <summary>
        /// Reduces <paramref name="send"/> (world size times n elements) and gives this rank part number <see cref="ICommunicator.Rank"/> (n elements).
        /// In place: <paramref name="receive"/> is that part of <paramref name="send"/>.
        /// </summary>
        public void ReduceScatter(ExecutionStream stream, Tensor send, Tensor receive, ReduceOp op = ReduceOp.Sum) =>
            communicator.Run(stream, new Collective(CollectiveVerb.ReduceScatter, send, receive, op));

        /// <inheritdoc cref="ReduceScatter"/>
        public CollectiveHandle ReduceScatterAsync(ExecutionStream stream, Tensor send, Tensor receive, ReduceOp op = ReduceOp.Sum) =>
            communicator.Start(stream, new Collective(CollectiveVerb.ReduceScatter, send, receive, op));

        /// <summary>
        /// Gathers all ranks' <paramref name="send"/> (n elements) in the order of ranks in <paramref name="receive"/> (world size times n).
        /// In place: <paramref name="send"/> is part number <see cref="ICommunicator.Rank"/> of <paramref name="receive"/>.
        /// </summary>
        public void AllGather(ExecutionStream stream, Tensor send, Tensor receive) => communicator.Run(stream, new Collective(CollectiveVerb.AllGather, send, receive));

        /// <inheritdoc cref="AllGather"/>
        public CollectiveHandle AllGatherAsync(ExecutionStream stream, Tensor send, Tensor receive) =>
            communicator.Start(stream, new Collective(CollectiveVerb.AllGather, send, receive));

        /// <summary>Gives all ranks the root's elements, in place.</summary>
        public void Broadcast(ExecutionStream stream, Tensor tensor, int root = 0) =>
            communicator.Run(stream, new Collective(CollectiveVerb.Broadcast, tensor, tensor, Root: root));

        /// <inheritdoc cref="Broadcast"/>
        public CollectiveHandle BroadcastAsync(ExecutionStream stream, Tensor tensor, int root = 0) =>
            communicator.Start(stream, new Collective(CollectiveVerb.Broadcast, tensor, tensor, Root: root));

        /// <summary>Reduces <paramref name="send"/> over all ranks into the root's <paramref name="receive"/>, which may be the same; other ranks may give null for it.</summary>
        public void Reduce(ExecutionStream stream, Tensor send, Tensor? receive, int root = 0, ReduceOp op = ReduceOp.Sum) =>
            communicator.Run(stream, new Collective(CollectiveVerb.Reduce, send, receive, op, root));

        /// <inheritdoc cref="Reduce"/>
        public CollectiveHandle ReduceAsync(ExecutionStream stream, Tensor send, Tensor? receive, int root = 0, ReduceOp op = ReduceOp.Sum) =>
            communicator.Start(stream, new Collective(CollectiveVerb.Reduce, send, receive, op, root));

        /// <summary>Part p of <paramref name="send"/> becomes part <see cref="ICommunicator.Rank"/> of rank p's <paramref name="receive"/>; both have world size times n elements. May be the same.</summary>
        public void AllToAll(ExecutionStream stream, Tensor send, Tensor receive) => communicator.Run(stream, new Collective(CollectiveVerb.AllToAll, send, receive));

        /// <inheritdoc cref="AllToAll"/>
        public CollectiveHandle AllToAllAsync(ExecutionStream stream, Tensor send, Tensor receive) =>
            communicator.Start(stream, new Collective(CollectiveVerb.AllToAll, send, receive));

        /// <summary>Sends a tensor to a rank, which must receive as many elements of the same type.</summary>
        public void Send(ExecutionStream stream, Tensor tensor, int peer) => communicator.Exchange(stream, PeerTransfer.Send(tensor, peer));

        /// <summary>Receives a tensor from a rank.</summary>
        public void Receive(ExecutionStream stream, Tensor tensor, int peer) => communicator.Exchange(stream, PeerTransfer.Receive(tensor, peer));
    }
}
