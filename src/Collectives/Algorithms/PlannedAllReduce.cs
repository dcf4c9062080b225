using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Runs any <see cref="AllReducePlan"/>, step by step: what comes is received aside and reduced when the step's messages are done, since a rank sends what it had before the step. For
/// plans of few steps over small data (trees, recursive doubling); the ring has an executor of its own.
/// </summary>
internal sealed unsafe class PlannedAllReduce(ITransport transport, AllReducePlan plan) : IDisposable
{
    private readonly ScratchMemory _scratch = new();
    private readonly Transfer[][] _steps = [.. Enumerable.Range(0, plan.StepCount).Select(step => plan.OfRank(step, transport.Rank).ToArray())];
    private HostTransfer[] _transfers = new HostTransfer[4];

    internal void Run(in HostCall call)
    {
        int elementSize = call.DType.ByteSize();
        ChunkLayout chunks = new(call.ElementCount, plan.ChunkCount, 64 / elementSize);
        if (call.Send != call.Receive) NativeMemory.Copy((void*)call.Send, (void*)call.Receive, (nuint)(call.ElementCount * elementSize));
        foreach (Transfer[] step in _steps) Run(call, step, chunks, elementSize);
        if (call.Op == ReduceOp.Average) HostReduction.Divide(call.DType, call.Receive, call.ElementCount, transport.WorldSize);
    }

    public void Dispose() => _scratch.Dispose();

    private void Run(in HostCall call, Transfer[] step, ChunkLayout chunks, int elementSize)
    {
        if (_transfers.Length < step.Length) _transfers = new HostTransfer[step.Length];
        long aside = 0;
        foreach (Transfer t in step)
            if (t.To == transport.Rank && t.Reduces) aside += Length(t, chunks);
        nint room = _scratch.Room(aside * elementSize), next = room;
        int count = 0;
        foreach (Transfer t in step)
        {
            long length = Length(t, chunks);
            if (length == 0) continue;
            nint place = call.Receive + (nint)(chunks.Offset(t.FirstChunk) * elementSize);
            if (t.From == transport.Rank) _transfers[count++] = new HostTransfer(CollectiveVerb.Send, t.To, call.DType, default, place, length);
            else if (!t.Reduces) _transfers[count++] = new HostTransfer(CollectiveVerb.Receive, t.From, call.DType, default, place, length);
            else
            {
                _transfers[count++] = new HostTransfer(CollectiveVerb.Receive, t.From, call.DType, default, next, length);
                next += (nint)(length * elementSize);
            }
        }
        if (count > 0) transport.Exchange(_transfers.AsSpan(0, count));
        Fold(call, step, chunks, elementSize, room);
    }

    private void Fold(in HostCall call, Transfer[] step, ChunkLayout chunks, int elementSize, nint room)
    {
        ReduceOp op = call.Op == ReduceOp.Average ? ReduceOp.Sum : call.Op;
        foreach (Transfer t in step)
        {
            if (t.To != transport.Rank || !t.Reduces) continue;
            long length = Length(t, chunks);
            nint own = call.Receive + (nint)(chunks.Offset(t.FirstChunk) * elementSize);
            HostReduction.Reduce(call.DType, op, [own], t.IsLeftOperand ? [room, own] : [own, room], length);
            room += (nint)(length * elementSize);
        }
    }

    private static long Length(Transfer t, ChunkLayout chunks) => chunks.Offset(t.FirstChunk + t.ChunkCount) - chunks.Offset(t.FirstChunk);
}
