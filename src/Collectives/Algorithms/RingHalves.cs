using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// The two halves of <see cref="RingPlan"/> by themselves, over a transport's messages: reduce-scatter is its first n - 1 steps, all-gather its last, with chunks numbered so that each rank
/// finishes, and begins with, its own. What is sent stays as it is. f16 and bf16 are rounded at every hop.
/// </summary>
internal sealed unsafe class RingHalves(ITransport transport, RingLink link) : IDisposable
{
    private readonly ScratchMemory _scratch = new();

    /// <summary>The chunk that a rank sends in a step of the whole ring, where each rank's own chunk has its number.</summary>
    internal static int ChunkSent(int rank, int worldSize, int step) => RingPlan.Previous(RingPlan.ChunkSent(rank, worldSize, step), worldSize);

    internal void ReduceScatter(in HostCall call)
    {
        int worldSize = transport.WorldSize, rank = transport.Rank;
        nint chunkBytes = checked((nint)(call.ElementCount * call.DType.ByteSize()));
        // Partial sums on their way: one that comes and one that goes. The last one is the result.
        nint room = worldSize > 2 ? _scratch.Room(2 * chunkBytes) : 0, sent = call.Send + (ChunkSent(rank, worldSize, 0) * chunkBytes);
        for (int step = 0; step < worldSize - 1; step++)
        {
            nint own = call.Send + (ChunkSent(RingPlan.Previous(rank, worldSize), worldSize, step) * chunkBytes);
            nint place = step == worldSize - 2 ? call.Receive : room + (step % 2 * chunkBytes);
            if (own != place) NativeMemory.Copy((void*)own, (void*)place, (nuint)chunkBytes);
            link.Exchange(call, sent, call.ElementCount, place, call.ElementCount, reduces: true);
            sent = place;
        }
        if (call.Op == ReduceOp.Average) HostReduction.Divide(call.DType, call.Receive, call.ElementCount, worldSize);
    }

    internal void AllGather(in HostCall call)
    {
        int worldSize = transport.WorldSize, rank = transport.Rank;
        nint chunkBytes = checked((nint)(call.ElementCount * call.DType.ByteSize())), own = call.Receive + (rank * chunkBytes);
        if (call.Send != own) NativeMemory.Copy((void*)call.Send, (void*)own, (nuint)chunkBytes);
        for (int step = worldSize - 1; step < RingPlan.StepCount(worldSize); step++)
        {
            int sent = ChunkSent(rank, worldSize, step), received = ChunkSent(RingPlan.Previous(rank, worldSize), worldSize, step);
            link.Exchange(call, call.Receive + (sent * chunkBytes), call.ElementCount, call.Receive + (received * chunkBytes), call.ElementCount, reduces: false);
        }
    }

    public void Dispose() => _scratch.Dispose();
}
