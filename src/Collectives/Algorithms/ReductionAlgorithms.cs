using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>Which way a collective goes: the transport's own, or one of our algorithms over its messages. Decided by options and size alone, so that all ranks decide alike.</summary>
internal sealed class ReductionAlgorithms(ITransport transport, CommunicatorOptions options) : IDisposable
{
    private readonly CallAgreement _agreement = new(transport);
    private readonly RingAllReduce _ring = new(transport, new RingLink(transport, options.SegmentByteCount));
    private readonly RingHalves _ringHalves = new(transport, new RingLink(transport, options.SegmentByteCount));
    private readonly DirectReduction _direct = new(transport);
    private readonly PlannedAllReduce _tree = new(transport, FixedTree.CreatePlan(transport.WorldSize));
    private readonly DoubleTreeAllReduce _doubleTree = new(transport, options.SegmentByteCount);
    private readonly PlannedAllReduce _recursiveDoubling = new(transport, RecursiveDoublingPlan.Create(transport.WorldSize));

    // Decided once: small messages feel every look.
    private readonly bool _isAlwaysOwn = transport.WorldSize == 1
        || (options.Algorithm is null && options.Chooser is null && (options.Determinism != Determinism.FixedOrder || transport.IsFixedOrder));

    /// <summary>Runs a collective by one of our algorithms, if that is what the options want for it.</summary>
    /// <returns>False: it is the transport's.</returns>
    internal bool TryRun(in HostCall call) => !_isAlwaysOwn && TryOurs(call);

    private bool TryOurs(in HostCall call)
    {
        if (Choose(call) is not { } algorithm) return false;
        _agreement.Check(call);
        if (call.ElementCount == 0) return true;
        switch (algorithm)
        {
            case AllReduceAlgorithm.Ring when call.Verb == CollectiveVerb.ReduceScatter: _ringHalves.ReduceScatter(call); break;
            case AllReduceAlgorithm.Ring when call.Verb == CollectiveVerb.AllGather: _ringHalves.AllGather(call); break;
            case AllReduceAlgorithm.Ring: _ring.Run(call); break;
            case AllReduceAlgorithm.RecursiveDoubling: _recursiveDoubling.Run(call); break;
            case AllReduceAlgorithm.Tree: _tree.Run(call); break;
            case AllReduceAlgorithm.DoubleTree: _doubleTree.Run(call); break;
            default: _direct.Run(call); break;
        }
        return true;
    }

    public void Dispose()
    {
        _ringHalves.Dispose();
        _direct.Dispose();
        _tree.Dispose();
        _doubleTree.Dispose();
        _recursiveDoubling.Dispose();
    }

    private AllReduceAlgorithm? Choose(in HostCall call)
    {
        bool mustBeOurs = options.Determinism == Determinism.FixedOrder && !transport.IsFixedOrder && call.Verb.Reduces();
        AllReduceAlgorithm? wanted = call.Verb == CollectiveVerb.AllReduce ? options.Chooser?.Choose(transport.WorldSize, (double)call.ElementCount * call.DType.ByteSize()) ?? options.Algorithm
            : options.HasRingHalves(call.Verb) ? AllReduceAlgorithm.Ring : null;
        if (options.Determinism != Determinism.FixedOrder || wanted is null) return wanted ?? (mustBeOurs ? AllReduceAlgorithm.Direct : null);
        // The tree's plan adds in the fixed order too, but rounds narrow types at every step.
        return wanted == AllReduceAlgorithm.Tree && call.DType is not (DType.F16 or DType.BF16) ? wanted : AllReduceAlgorithm.Direct;
    }
}
