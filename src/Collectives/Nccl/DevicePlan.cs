using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>Runs an <see cref="AllReducePlan"/> on tensors: each step's messages, then its reductions by kernels, one behind the other on a stream. The ring and the trees of GPUs.</summary>
internal sealed class DevicePlan(DeviceMessages messages, AllReducePlan plan)
{
    private readonly Transfer[][] _steps = [.. Enumerable.Range(0, plan.StepCount).Select(step => plan.OfRank(step, messages.Rank).ToArray())];

    /// <summary>All-reduces a vector in place. Enqueues and returns.</summary>
    internal void Run(ExecutionStream stream, Tensor vector, ReduceOp op)
    {
        ChunkLayout chunks = new(vector.ElementCount, plan.ChunkCount, 64 / vector.DType.ByteSize());
        foreach (Transfer[] step in _steps) Run(stream, vector, op, step, chunks);
        if (op == ReduceOp.Average) DeviceReduction.Divide(stream, vector, messages.WorldSize);
    }

    private void Run(ExecutionStream stream, Tensor vector, ReduceOp op, Transfer[] step, ChunkLayout chunks)
    {
        List<(Tensor Place, Tensor Aside, bool IsLeft)> reductions = [];
        List<Tensor> places = [];
        foreach (Transfer t in step)
        {
            int first = (int)chunks.Offset(t.FirstChunk), count = (int)(chunks.Offset(t.FirstChunk + t.ChunkCount) - first);
            if (count == 0) continue;
            Tensor place = vector.Slice(first, count);
            places.Add(place);
            if (t.From == messages.Rank)
            {
                messages.Send(t.To, place);
            }
            else if (!t.Reduces)
            {
                messages.Receive(t.From, place);
            }
            else
            {
                Tensor aside = Tensor.Allocate(stream, place.Shape, place.DType);
                messages.Receive(t.From, aside);
                reductions.Add((place, aside, t.IsLeftOperand));
            }
        }
        messages.Exchange(stream);
        foreach ((Tensor place, Tensor aside, bool isLeft) in reductions)
        {
            DeviceReduction.Combine(stream, op, place, isLeft ? aside : place, isLeft ? place : aside);
            aside.Dispose();
        }
        foreach (Tensor place in places) place.Dispose();
    }
}
