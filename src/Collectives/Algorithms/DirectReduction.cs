using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// <see cref="DirectPlan"/> over a transport's messages: each rank gets its own chunk of all others, adds along <see cref="FixedTree"/>, and hands the result on. For every element the same tree,
/// whatever the sizes, and f16 and bf16 rounded once: what <see cref="Determinism.FixedOrder"/> means, on transports whose own verbs can't promise it. All-reduce, reduce-scatter and reduce.
/// </summary>
internal sealed unsafe class DirectReduction(ITransport transport) : IDisposable
{
    private readonly ScratchMemory _scratch = new();
    private readonly HostTransfer[] _transfers = new HostTransfer[2 * transport.WorldSize];
    private readonly nint[] _sources = new nint[transport.WorldSize];

    internal void Run(in HostCall call)
    {
        int elementSize = call.DType.ByteSize(), rank = transport.Rank;
        ChunkLayout chunks = call.Verb == CollectiveVerb.ReduceScatter
            ? new ChunkLayout(checked(call.ElementCount * transport.WorldSize), transport.WorldSize) : new ChunkLayout(call.ElementCount, transport.WorldSize, 64 / elementSize);
        long own = chunks.Length(rank);
        bool keeps = call.Verb is CollectiveVerb.AllReduce || (call.Verb == CollectiveVerb.Reduce && rank == call.Root);
        // A rank that gets no result as a whole has no room for its chunk either.
        nint room = _scratch.Room((own * elementSize * (transport.WorldSize - 1)) + (keeps || call.Verb == CollectiveVerb.ReduceScatter ? 0 : own * elementSize));
        nint result = call.Verb == CollectiveVerb.ReduceScatter ? call.Receive : keeps ? call.Receive + (nint)(chunks.Offset(rank) * elementSize) : room + (nint)(own * elementSize * (transport.WorldSize - 1));
        Collect(call, chunks, elementSize, room);
        HostReduction.Reduce(call.DType, call.Op, [result], _sources, own);
        if (call.Verb != CollectiveVerb.ReduceScatter) HandOn(call, chunks, elementSize, result);
    }

    public void Dispose() => _scratch.Dispose();

    private void Collect(in HostCall call, ChunkLayout chunks, int elementSize, nint room)
    {
        int count = 0;
        for (int i = 1; i < transport.WorldSize; i++)
        {
            int to = (transport.Rank + i) % transport.WorldSize, from = (transport.Rank - i + transport.WorldSize) % transport.WorldSize;
            if (chunks.Length(to) > 0) _transfers[count++] = new HostTransfer(CollectiveVerb.Send, to, call.DType, default, call.Send + (nint)(chunks.Offset(to) * elementSize), chunks.Length(to));
            _sources[from] = room;
            if (chunks.Length(transport.Rank) > 0) _transfers[count++] = new HostTransfer(CollectiveVerb.Receive, from, call.DType, default, room, chunks.Length(transport.Rank));
            room += (nint)(chunks.Length(transport.Rank) * elementSize);
        }
        _sources[transport.Rank] = call.Send + (nint)(chunks.Offset(transport.Rank) * elementSize);
        if (count > 0) transport.Exchange(_transfers.AsSpan(0, count));
    }

    private void HandOn(in HostCall call, ChunkLayout chunks, int elementSize, nint result)
    {
        int count = 0;
        for (int i = 1; i < transport.WorldSize; i++)
        {
            int to = (transport.Rank + i) % transport.WorldSize, from = (transport.Rank - i + transport.WorldSize) % transport.WorldSize;
            bool sends = call.Verb == CollectiveVerb.AllReduce || to == call.Root, receives = call.Verb == CollectiveVerb.AllReduce || transport.Rank == call.Root;
            if (sends && chunks.Length(transport.Rank) > 0) _transfers[count++] = new HostTransfer(CollectiveVerb.Send, to, call.DType, default, result, chunks.Length(transport.Rank));
            if (receives && chunks.Length(from) > 0) _transfers[count++] = new HostTransfer(CollectiveVerb.Receive, from, call.DType, default, call.Receive + (nint)(chunks.Offset(from) * elementSize), chunks.Length(from));
        }
        if (count > 0) transport.Exchange(_transfers.AsSpan(0, count));
    }
}
