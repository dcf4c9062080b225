using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Reductions along <see cref="FixedTree"/> on tensors: each rank gets its own chunk of all others, adds along the tree in f32, rounds once, and hands the result on. As <see cref="DirectReduction"/>
/// on the host, with the same bits.
/// </summary>
internal sealed class DeviceFixedOrder(DeviceMessages messages)
{
    /// <summary>All-reduce, reduce or reduce-scatter of vectors. Enqueues and returns.</summary>
    /// <param name="stream">The stream of the work.</param>
    /// <param name="verb">Which.</param>
    /// <param name="op">Sum, product or average.</param>
    /// <param name="root">Of reduce.</param>
    /// <param name="send">This rank's elements.</param>
    /// <param name="receive">The result, where this rank gets one.</param>
    internal void Run(ExecutionStream stream, CollectiveVerb verb, ReduceOp op, int root, Tensor send, Tensor? receive)
    {
        int rank = messages.Rank, size = messages.WorldSize;
        ChunkLayout chunks = verb == CollectiveVerb.ReduceScatter ? new ChunkLayout(send.ElementCount, size) : new ChunkLayout(send.ElementCount, size, 64 / send.DType.ByteSize());
        using Tensor own = Chunk(send, chunks, rank);
        Tensor[] parts = Collect(stream, send, chunks, own);
        using Tensor result = verb == CollectiveVerb.ReduceScatter ? receive!.Share() : receive is not null ? Chunk(receive, chunks, rank) : Tensor.Allocate(stream, own.Shape, own.DType);
        if (own.ElementCount > 0) Reduce(stream, op, parts, result);
        foreach (Tensor part in parts) part.Dispose();
        if (verb != CollectiveVerb.ReduceScatter) HandOn(stream, verb, root, chunks, result, receive);
    }

    private Tensor[] Collect(ExecutionStream stream, Tensor send, ChunkLayout chunks, Tensor own)
    {
        Tensor[] parts = new Tensor[messages.WorldSize];
        List<Tensor> sent = [];
        for (int peer = 0; peer < parts.Length; peer++)
        {
            if (peer == messages.Rank)
            {
                parts[peer] = own.Share();
                continue;
            }
            Tensor chunk = Chunk(send, chunks, peer);
            sent.Add(chunk);
            messages.Send(peer, chunk);
            parts[peer] = Tensor.Allocate(stream, own.Shape, own.DType);
            messages.Receive(peer, parts[peer]);
        }
        messages.Exchange(stream);
        foreach (Tensor chunk in sent) chunk.Dispose();
        return parts;
    }

    private void Reduce(ExecutionStream stream, ReduceOp op, Tensor[] parts, Tensor result)
    {
        Tensor sum = FixedTree.Reduce(0, parts.Length, rank => DeviceReduction.Widen(stream, parts[rank]), (left, right) =>
        {
            Tensor both = Tensor.Allocate(stream, left.Shape);
            DeviceReduction.Combine(stream, op, both, left, right);
            left.Dispose();
            right.Dispose();
            return both;
        });
        if (op == ReduceOp.Average) DeviceReduction.Divide(stream, sum, parts.Length);
        DeviceReduction.Narrow(stream, result, sum);
        sum.Dispose();
    }

    private void HandOn(ExecutionStream stream, CollectiveVerb verb, int root, ChunkLayout chunks, Tensor result, Tensor? receive)
    {
        List<Tensor> places = [];
        for (int peer = 0; peer < messages.WorldSize; peer++)
        {
            if (peer == messages.Rank) continue;
            if (verb == CollectiveVerb.AllReduce || peer == root) messages.Send(peer, result);
            if (receive is null || (verb == CollectiveVerb.Reduce && messages.Rank != root)) continue;
            Tensor place = Chunk(receive, chunks, peer);
            places.Add(place);
            messages.Receive(peer, place);
        }
        messages.Exchange(stream);
        foreach (Tensor place in places) place.Dispose();
    }

    private static Tensor Chunk(Tensor vector, ChunkLayout chunks, int rank) => vector.Slice((int)chunks.Offset(rank), (int)chunks.Length(rank));
}
