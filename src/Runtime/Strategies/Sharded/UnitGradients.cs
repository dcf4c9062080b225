using System.Diagnostics;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The gradients of one unit on one rank: memory for all of them while backward writes, and the slice that the rank owns.</summary>
internal sealed class UnitGradients
{
    private readonly HashSet<Parameter> _ready = [];
    private Tensor? _whole, _arriving;
    private Tensor[] _views = [];
    private CollectiveHandle? _handle;

    internal UnitGradients(ExecutionStream stream, ShardUnit values, ICommunicator communicator, bool keepsWhole)
    {
        Values = values;
        if (!keepsWhole)
        {
            Slice = Tensor.Zeros(stream, values.Slice.Shape);
            return;
        }
        _whole = Tensor.Zeros(stream, WholeShape);
        int length = values.Slice.Shape[0];
        Slice = _whole.Slice(communicator.Rank * length, length);
    }

    /// <summary>The values.</summary>
    internal ShardUnit Values { get; }

    /// <summary>The sums that this rank owns.</summary>
    internal Tensor Slice { get; }

    /// <summary>Whether the store writes to this unit's memory.</summary>
    internal bool IsLent => _views.Length > 0;

    /// <summary>Whether a reduction has been started that nobody has waited for: it holds memory for all gradients.</summary>
    internal bool IsInFlight { get; private set; }

    /// <summary>Whether the pass's gradients are all complete.</summary>
    internal bool IsReady => _ready.Count == Values.Members.Count;

    private Shape WholeShape => new(checked((int)(Values.WholeByteCount / sizeof(float))));

    internal void Begin() => _ready.Clear();

    internal void MarkReady(Parameter parameter) => _ready.Add(parameter);

    /// <summary>Gives the store memory for all members; its contents are undefined unless it is kept.</summary>
    internal void Lend(GradientStore store, ExecutionStream? stream = null)
    {
        _whole ??= Tensor.Allocate(stream!, WholeShape);
        _views = [.. Values.Members.Select((_, member) => Values.ViewOf(_whole, member))];
        for (int i = 0; i < _views.Length; i++) store.Lend(Values.Members[i], _views[i]);
    }

    /// <summary>Zeros for members that no function of this rank gave a gradient for.</summary>
    internal void ClearMissing(ExecutionStream stream, GradientStore store, bool keepsEarlier)
    {
        for (int i = 0; i < _views.Length; i++)
        {
            Parameter member = Values.Members[i];
            if (keepsEarlier ? store.Of(member) is null : !_ready.Contains(member)) _views[i].Clear(stream);
        }
    }

    /// <summary>Begins to sum over all ranks.</summary>
    internal void Start(ExecutionStream stream, ICommunicator communicator, bool adds)
    {
        if (adds) _arriving = Tensor.Allocate(stream, Slice.Shape);
        _handle = communicator.ReduceScatterAsync(stream, _whole!, _arriving ?? Slice);
        IsInFlight = true;
    }

    /// <summary>Blocks until the reduction on its way has ended.</summary>
    internal void WaitInFlight()
    {
        _handle?.Wait();
        IsInFlight = false;
    }

    /// <summary>Has the stream wait, and adds what came to what earlier passes gave.</summary>
    internal void Finish(ExecutionStream stream)
    {
        if (_handle is not { } handle) return;
        handle.WaitOn(stream);
        MeasuredActivity.Communication.Record(handle.StartTimestamp, handle.StartTimestamp + (long)(handle.Duration.TotalSeconds * Stopwatch.Frequency), Values.Index, Values.WholeByteCount);
        (_handle, IsInFlight) = (null, false);
        if (_arriving is not { } arrived) return;
        Elementwise.Add(stream, Slice, Slice, arrived);
        arrived.Dispose();
        _arriving = null;
    }

    /// <summary>Gives the memory up; a reduction on its way holds it until it has ended.</summary>
    internal void TakeBack(GradientStore store)
    {
        foreach (Parameter member in Values.Members) store.TakeBack(member);
        foreach (Tensor view in _views) view.Dispose();
        _whole?.Dispose();
        (_whole, _views) = (null, []);
    }

    internal void Dispose(GradientStore store)
    {
        TakeBack(store);
        _arriving?.Dispose();
        Slice.Dispose();
    }
}
