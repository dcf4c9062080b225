using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Runs <see cref="RingPlan"/> over a transport's messages. Chunks travel in segments, all of a step handed over at once, so that sending, receiving and reducing overlap. f16 and bf16 are
/// rounded at every hop. Same bits on all ranks and from run to run: a chunk's sum is made along the ring once and then copied.
/// </summary>
internal sealed unsafe class RingAllReduce(ITransport transport, RingLink link)
{
    internal void Run(in HostCall call)
    {
        int worldSize = transport.WorldSize, rank = transport.Rank, elementSize = call.DType.ByteSize();
        ChunkLayout chunks = new(call.ElementCount, worldSize, 64 / elementSize);
        if (call.Send != call.Receive) NativeMemory.Copy((void*)call.Send, (void*)call.Receive, (nuint)(call.ElementCount * elementSize));
        for (int step = 0; step < RingPlan.StepCount(worldSize); step++)
        {
            if (step == worldSize - 1 && call.Op == ReduceOp.Average) DivideOwned(call, chunks, elementSize);
            int sent = RingPlan.ChunkSent(rank, worldSize, step), received = RingPlan.ChunkReceived(rank, worldSize, step);
            link.Exchange(call, Address(call, chunks.Offset(sent), elementSize), chunks.Length(sent), Address(call, chunks.Offset(received), elementSize), chunks.Length(received), reduces: step < worldSize - 1);
        }
    }

    private void DivideOwned(in HostCall call, ChunkLayout chunks, int elementSize)
    {
        int owned = RingPlan.ChunkOwned(transport.Rank, transport.WorldSize);
        HostReduction.Divide(call.DType, Address(call, chunks.Offset(owned), elementSize), chunks.Length(owned), transport.WorldSize);
    }

    private static nint Address(in HostCall call, long element, int elementSize) => call.Receive + (nint)(element * elementSize);
}
