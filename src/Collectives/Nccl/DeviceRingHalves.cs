using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>Reduce-scatter and all-gather along the ring on tensors: what <see cref="RingHalves"/> does in host memory, by messages and kernels of a stream.</summary>
internal sealed class DeviceRingHalves(DeviceMessages messages)
{
    private int Next => RingPlan.Next(messages.Rank, messages.WorldSize);

    private int Previous => RingPlan.Previous(messages.Rank, messages.WorldSize);

    /// <summary>Reduces vectors; <paramref name="receive"/> may be this rank's part of <paramref name="send"/>. Enqueues and returns.</summary>
    internal void ReduceScatter(ExecutionStream stream, Tensor send, Tensor receive, ReduceOp op)
    {
        int worldSize = messages.WorldSize, count = checked((int)receive.ElementCount);
        Tensor sent = send.Slice(RingHalves.ChunkSent(messages.Rank, worldSize, 0) * count, count);
        for (int step = 0; step < worldSize - 1; step++)
        {
            Tensor received = Tensor.Allocate(stream, receive.Shape, receive.DType);
            using Tensor own = send.Slice(RingHalves.ChunkSent(Previous, worldSize, step) * count, count);
            messages.Send(Next, sent);
            messages.Receive(Previous, received);
            messages.Exchange(stream);
            sent.Dispose();
            DeviceReduction.Combine(stream, op, step == worldSize - 2 ? receive : received, received, own);
            sent = received;
        }
        sent.Dispose();
        if (op == ReduceOp.Average) DeviceReduction.Divide(stream, receive, worldSize);
    }

    /// <summary>Gathers vectors of any type; <paramref name="send"/> may be this rank's part of <paramref name="receive"/>. Enqueues and returns.</summary>
    internal void AllGather(ExecutionStream stream, Tensor send, Tensor receive)
    {
        int worldSize = messages.WorldSize, count = checked((int)send.ElementCount);
        using (Tensor own = receive.Slice(messages.Rank * count, count))
            if (own.Pointer != send.Pointer) send.CopyTo(stream, own);
        for (int step = worldSize - 1; step < RingPlan.StepCount(worldSize); step++)
        {
            using Tensor sent = receive.Slice(RingHalves.ChunkSent(messages.Rank, worldSize, step) * count, count), received = receive.Slice(RingHalves.ChunkSent(Previous, worldSize, step) * count, count);
            messages.Send(Next, sent);
            messages.Receive(Previous, received);
            messages.Exchange(stream);
        }
    }
}
