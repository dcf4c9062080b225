using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>One step of a ring over a transport's messages: something goes to the rank behind, something comes from the one before, in segments that are all handed over at once.</summary>
/// <param name="transport">Carries the messages.</param>
/// <param name="segmentByteCount">Bytes of a segment; 0: <see cref="DefaultSegmentByteCount"/>.</param>
internal sealed class RingLink(ITransport transport, int segmentByteCount)
{
    internal const int DefaultSegmentByteCount = 1 << 18;
    private const int MostSegments = 256;
    private HostTransfer[] _transfers = new HostTransfer[8];

    /// <summary>Sends elements and receives others, which are added to what is there or take its place.</summary>
    internal void Exchange(in HostCall call, nint send, long sendCount, nint receive, long receiveCount, bool reduces)
    {
        int worldSize = transport.WorldSize, elementSize = call.DType.ByteSize(), count = 0;
        CollectiveVerb verb = reduces ? CollectiveVerb.ReceiveReduce : CollectiveVerb.Receive;
        ReduceOp op = call.Op == ReduceOp.Average ? ReduceOp.Sum : call.Op;
        // As many segments as the larger of the two needs, interleaved; both sides of a message cut it alike.
        long sendSegment = SegmentOf(sendCount, elementSize), receiveSegment = SegmentOf(receiveCount, elementSize);
        for (long at = 0, to = 0; at < sendCount || to < receiveCount; at += sendSegment, to += receiveSegment)
        {
            if (at < sendCount) Add(ref count, new HostTransfer(CollectiveVerb.Send, RingPlan.Next(transport.Rank, worldSize), call.DType, op, send + (nint)(at * elementSize), Math.Min(sendSegment, sendCount - at)));
            if (to < receiveCount) Add(ref count, new HostTransfer(verb, RingPlan.Previous(transport.Rank, worldSize), call.DType, op, receive + (nint)(to * elementSize), Math.Min(receiveSegment, receiveCount - to)));
        }
        if (count > 0) transport.Exchange(_transfers.AsSpan(0, count));
    }

    // Depends on what is sent alone, so that sender and receiver agree.
    private long SegmentOf(long elementCount, int elementSize)
    {
        long wanted = Math.Max(1, (segmentByteCount > 0 ? segmentByteCount : DefaultSegmentByteCount) / elementSize);
        return Math.Max(wanted, (elementCount + MostSegments - 1) / MostSegments);
    }

    private void Add(ref int count, in HostTransfer transfer)
    {
        if (count == _transfers.Length) Array.Resize(ref _transfers, 2 * count);
        _transfers[count++] = transfer;
    }
}
