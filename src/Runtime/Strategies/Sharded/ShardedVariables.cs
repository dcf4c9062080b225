using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Variables of which every replica owns slices: it makes new values of those alone, with an optimizer over hidden parameters that lie in them.</summary>
internal sealed class ShardedVariables : ReplicaVariables
{
    private readonly Replica _replica;
    private readonly ShardedSlices _slices;
    private readonly ShardedGradients _gradients;
    private readonly GradientStore _sliceGradients;
    private readonly Tensor[] _sliceViews;
    private readonly ShardedClipping? _clipping;
    private readonly SynchronizedBatchNorm _batchNorm;
    private readonly int _stage;
    private readonly bool _checksReplicas;

    private ShardedVariables(Replica replica, Module model, Optimizer optimizer, ShardedSlices slices, VariableOptions options, int stage)
        : base(model, optimizer, replica.Shard, slices.Trained, options.UsableLossScaling)
    {
        (_replica, _slices, _stage, _checksReplicas) = (replica, slices, stage, options.ChecksReplicas);
        _batchNorm = new SynchronizedBatchNorm(model, replica.Communicator, options);
        _gradients = new ShardedGradients(replica.Stream, replica.Communicator, Gradients, slices.Values, keepsWhole: stage == 1);
        _sliceGradients = new GradientStore(slices.Parameters);
        _sliceViews = slices.In(_gradients.Slices);
        for (int i = 0; i < _sliceViews.Length; i++)
        {
            _sliceGradients.Bind(slices.Parameters[i], _sliceViews[i]);
            _sliceGradients.TryTarget(replica.Stream, slices.Parameters[i], out _, out _);
        }
        if (options.ClipNorm is { } maxNorm) _clipping = new ShardedClipping(replica.Stream, replica.Communicator, _sliceViews, maxNorm);
    }

    public override Tensor? GradientNorm => _clipping?.Norm;

    // From stage 2 on every pass is sent, in stage 3 it fetches parameters too.
    public override bool MeetsInPasses => (_stage >= 2 && _replica.Count > 1) || _batchNorm.IsUsed;

    public override VariableMemory Memory => new(
        _slices.Values.ByteCount + FrozenByteCount(), _gradients.ByteCount, Optimizer.SaveState().Values.Sum(tensor => tensor.ByteCount), _slices.Values.PeakGatheredByteCount, _gradients.PeakWholeByteCount);

    /// <summary>Which elements this replica owns.</summary>
    internal ShardedSlices Slices => _slices;

    /// <summary>Makes variables of a model; collective.</summary>
    internal static ShardedVariables Create(Replica replica, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions options, int stage)
    {
        Parameter[] trained;
        using (Optimizer whole = Covered(optimizer(model.Parameters()), model.Parameters())) trained = [.. model.Parameters().Where(parameter => parameter.RequiresGradient && whole.Parameters.Contains(parameter))];
        ReplicaAgreement.Mirror(replica.Stream, replica.Communicator, model);
        ShardedSlices slices = new(replica, trained, options, stage);
        try
        {
            return new ShardedVariables(replica, model, slices.Covered(Covered(optimizer(slices.Parameters), slices.Parameters)), slices, options, stage);
        }
        catch
        {
            slices.Dispose();
            throw;
        }
    }

    public override void Begin(bool isLast = true)
    {
        _gradients.Begin(isLast);
        _slices.Values.BeginPass();
    }

    public override void End(GradientTape? tape)
    {
        base.End(tape);
        _batchNorm.OwnState.Count(tape);
        if (_stage >= 2) _gradients.EndPass();
        _slices.Values.EndPass();
    }

    public override void Update(ExecutionStream stream, float learningRate)
    {
        Parameter[] missing = IsReachChecked ? [] : [.. Gradients.ParametersWithoutGradient];
        _gradients.EndPass();
        _slices.Values.EndPass();
        _gradients.EndStep();
        if (!IsReachChecked) CheckReached(stream, missing);
        _batchNorm.OwnState.Average(stream);
        if (!TryUnscaleSlices(stream)) return;
        _clipping?.Clip();
        Optimizer.Step(stream, _sliceGradients, learningRate);
        _slices.Values.Spread();
        foreach (Parameter parameter in _slices.Trained) parameter.MarkChanged();
        if (_checksReplicas) CheckReplicas(stream);
    }

    public override void Sum(ExecutionStream stream, Span<double> numbers) => ReplicaAgreement.Sum(stream, _replica.Communicator, numbers);

    public override IDisposable Gather(ExecutionStream stream) => _slices.Values.Hold();

    internal override bool SavesShares => true;

    internal override SavedState State() => _slices.State(Model, Optimizer, withRest: IsFirst);

    internal override void LoadModel(ExecutionStream stream, IReadOnlyDictionary<string, Tensor> state)
    {
        using IDisposable values = Gather(stream);
        base.LoadModel(stream, state);
    }

    internal override void LoadOptimizer(ExecutionStream stream, IReadOnlyDictionary<string, Tensor> state) => _slices.Load(stream, Optimizer, state);

    private protected override void Dispose(bool disposing)
    {
        _batchNorm.Dispose();
        _gradients.Dispose();
        base.Dispose(disposing);
        _clipping?.Dispose();
        Optimizer.Dispose();
        foreach (Tensor view in _sliceViews) view.Dispose();
        _sliceGradients.Dispose();
        _slices.Dispose();
    }

    // Whose slices overflowed, all must know.
    private bool TryUnscaleSlices(ExecutionStream stream)
    {
        if (LossScaler is null) return true;
        int own = LossScaler.Unscale(stream, _sliceGradients);
        double[] overflowed = new double[_replica.Count];
        if (own >= 0) overflowed[_replica.Index] = 1 + _slices.Ranges[own].Parameter;
        Sum(stream, overflowed);
        double[] found = [.. overflowed.Where(number => number > 0)];
        return LossScaler.TryAdvance(found.Length == 0 ? null : _slices.Trained[(int)found.Min() - 1]);
    }

    private void CheckReplicas(ExecutionStream stream)
    {
        using IDisposable values = Gather(stream);
        ReplicaAgreement.CheckSameValues(stream, _replica.Communicator, Model, $"after optimizer step {Optimizer.StepCount}");
    }

    private long FrozenByteCount() => Model.Parameters().Where(parameter => !_slices.Trained.Contains(parameter)).Sum(parameter => parameter.Value.ByteCount);
}
