using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The values of one unit's parameters on one rank: the slice that it owns, and while somebody needs them those of all ranks.</summary>
internal sealed class ShardUnit : IDisposable
{
    private readonly ShardUnitPlan _plan;
    private readonly Shape _sliceShape;
    private CollectiveHandle? _arriving;
    private Tensor? _whole;
    private Tensor[] _views = [];

    /// <summary>Takes a unit's values over from its parameters.</summary>
    internal ShardUnit(ExecutionStream stream, ShardUnitPlan plan, int index, IReadOnlyList<Parameter> parameters, int rank, int rankCount, bool keepsWhole)
    {
        (_plan, Index) = (plan, index);
        Members = [.. plan.Members.Select(member => parameters[member.Parameter])];
        _sliceShape = new Shape(checked((int)(plan.ElementCount / rankCount)));
        Open(Tensor.Zeros(stream, new Shape(checked((int)plan.ElementCount))));
        for (int i = 0; i < Members.Count; i++) Members[i].Value.CopyTo(stream, _views[i]);
        using Tensor own = _whole!.Slice(rank * _sliceShape[0], _sliceShape[0]);
        Slice = keepsWhole ? own.Share() : Tensor.Allocate(stream, _sliceShape);
        if (!keepsWhole) own.CopyTo(stream, Slice);
    }

    /// <summary>Its place in the layout.</summary>
    internal int Index { get; }

    /// <summary>Its parameters in the order in which they lie.</summary>
    internal IReadOnlyList<Parameter> Members { get; }

    /// <summary>The elements that this rank owns.</summary>
    internal Tensor Slice { get; }

    /// <summary>Whether the values of all ranks are here or on their way.</summary>
    internal bool IsWhole => _whole is not null;

    /// <summary>Bytes of the values of all ranks.</summary>
    internal long WholeByteCount => _plan.ElementCount * sizeof(float);

    /// <summary>The place of a member's gradient or value in such memory; the caller disposes it.</summary>
    internal Tensor ViewOf(Tensor whole, int member)
    {
        using Tensor flat = whole.Slice((int)_plan.Members[member].First, (int)_plan.Members[member].ElementCount);
        return flat.Reshape(Members[member].Shape);
    }

    /// <summary>A member's value; a gather must have been finished.</summary>
    internal Tensor Value(int member) => _views[member];

    /// <summary>Begins to fetch the other ranks' slices, unless they are here. Collective.</summary>
    internal void StartGather(ExecutionStream stream, ICommunicator communicator)
    {
        if (_whole is not null) return;
        Open(Tensor.Allocate(stream, new Shape(checked((int)_plan.ElementCount))));
        _arriving = communicator.AllGatherAsync(stream, Slice, _whole!);
    }

    /// <summary>Sends the own slice of values that stay whole, in place. Collective.</summary>
    internal void StartSpread(ExecutionStream stream, ICommunicator communicator) => _arriving = communicator.AllGatherAsync(stream, Slice, _whole!);

    /// <summary>Has the stream wait for what was begun.</summary>
    internal void Finish(ExecutionStream stream)
    {
        _arriving?.WaitOn(stream);
        _arriving = null;
    }

    /// <summary>Copies the own elements out of the whole ones, which somebody has written to.</summary>
    internal void TakeSlice(ExecutionStream stream, int rank)
    {
        using Tensor own = _whole!.Slice(rank * _sliceShape[0], _sliceShape[0]);
        own.CopyTo(stream, Slice);
    }

    /// <summary>Gives the other ranks' values up; a gather on its way holds the memory until it has ended.</summary>
    internal void Release()
    {
        foreach (Tensor view in _views) view.Dispose();
        _whole?.Dispose();
        (_whole, _views, _arriving) = (null, [], null);
    }

    public void Dispose()
    {
        Release();
        Slice.Dispose();
    }

    private void Open(Tensor whole)
    {
        _whole = whole;
        _views = [.. Enumerable.Range(0, Members.Count).Select(member => ViewOf(whole, member))];
    }
}
