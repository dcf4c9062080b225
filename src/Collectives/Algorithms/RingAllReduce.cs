using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Runs <see cref="RingPlan"/> over a transport's messages. Chunks travel in segments, all of a step handed over at once, so that sending, receiving and reducing overlap. f16 and bf16 are
/// rounded at every hop. Same bits on all ranks and from run to run: a chunk's sum is made along the ring once and then copied.
/// </summary>
/// <param name="transport">Carries the messages.</param>
/// <param name="segmentByteCount">Bytes of a segment; 0: <see cref="DefaultSegmentByteCount"/>.</param>
internal sealed unsafe class RingAllReduce(ITransport transport, int segmentByteCount)
{
    internal const int DefaultSegmentByteCount = 1 << 18;
    private const int MostSegments = 256;
    private HostTransfer[] _transfers = new HostTransfer[8];

    internal void Run(in HostCall call)
    {
        int worldSize = transport.WorldSize, rank = transport.Rank, elementSize = call.DType.ByteSize();
        ChunkLayout chunks = new(call.ElementCount, worldSize, 64 / elementSize);
        if (call.Send != call.Receive) NativeMemory.Copy((void*)call.Send, (void*)call.Receive, (nuint)(call.ElementCount * elementSize));
        for (int step = 0; step < RingPlan.StepCount(worldSize); step++)
        {
            bool reduces = step < worldSize - 1;
            if (step == worldSize - 1 && call.Op == ReduceOp.Average) DivideOwned(call, chunks, elementSize);
            Exchange(call, chunks, RingPlan.ChunkSent(rank, worldSize, step), RingPlan.ChunkReceived(rank, worldSize, step), reduces, elementSize);
        }
    }

    private void Exchange(in HostCall call, ChunkLayout chunks, int sent, int received, bool reduces, int elementSize)
    {
        int worldSize = transport.WorldSize, count = 0;
        CollectiveVerb verb = reduces ? CollectiveVerb.ReceiveReduce : CollectiveVerb.Receive;
        ReduceOp op = call.Op == ReduceOp.Average ? ReduceOp.Sum : call.Op;
        // As many segments as the larger of the two needs, interleaved; both sides of a message cut it alike.
        long sendSegment = SegmentOf(chunks.Length(sent), elementSize), receiveSegment = SegmentOf(chunks.Length(received), elementSize);
        for (long at = 0, to = 0; at < chunks.Length(sent) || to < chunks.Length(received); at += sendSegment, to += receiveSegment)
        {
            if (at < chunks.Length(sent))
                Add(ref count, new HostTransfer(CollectiveVerb.Send, RingPlan.Next(transport.Rank, worldSize), call.DType, op, Address(call, chunks.Offset(sent) + at, elementSize), Math.Min(sendSegment, chunks.Length(sent) - at)));
            if (to < chunks.Length(received))
                Add(ref count, new HostTransfer(verb, RingPlan.Previous(transport.Rank, worldSize), call.DType, op, Address(call, chunks.Offset(received) + to, elementSize), Math.Min(receiveSegment, chunks.Length(received) - to)));
        }
        if (count > 0) transport.Exchange(_transfers.AsSpan(0, count));
    }

    // Depends on the chunk alone, so that sender and receiver agree.
    private long SegmentOf(long elementCount, int elementSize)
    {
        long wanted = Math.Max(1, (segmentByteCount > 0 ? segmentByteCount : DefaultSegmentByteCount) / elementSize);
        return Math.Max(wanted, (elementCount + MostSegments - 1) / MostSegments);
    }

    private void DivideOwned(in HostCall call, ChunkLayout chunks, int elementSize)
    {
        int owned = RingPlan.ChunkOwned(transport.Rank, transport.WorldSize);
        HostReduction.Divide(call.DType, Address(call, chunks.Offset(owned), elementSize), chunks.Length(owned), transport.WorldSize);
    }

    private void Add(ref int count, in HostTransfer transfer)
    {
        if (count == _transfers.Length) Array.Resize(ref _transfers, 2 * count);
        _transfers[count++] = transfer;
    }

    private static nint Address(in HostCall call, long element, int elementSize) => call.Receive + (nint)(element * elementSize);
}
