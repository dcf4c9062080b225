using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Variables that live in one place: parameters and optimizer state on the storage device, worked on by the first replica's thread. Every replica has a working copy of the parameters; gradients are
/// summed to the first replica in buckets while backward runs, and after the optimizer's step the new values go to all.
/// </summary>
internal sealed class CentralStorageVariables : ReplicaVariables
{
    private readonly ICommunicator _communicator;
    private readonly ExecutionStream _storage;
    private readonly GradientBuckets _buckets;
    private readonly SynchronizedBatchNorm _batchNorm;
    private readonly Parameter[] _stored;
    private readonly GradientStore _storedGradients;
    private readonly GradientClipping? _clipping;
    private readonly bool _checksReplicas, _isApart;

    internal CentralStorageVariables(Replica replica, ExecutionStream storage, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions options)
        : this(replica, storage, model, Stored(replica, storage, model), optimizer, options)
    {
    }

    private CentralStorageVariables(Replica replica, ExecutionStream storage, Module model, Parameter[] stored, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions options)
        : this(replica, storage, model, stored, Covered(optimizer(stored), stored), options)
    {
    }

    private CentralStorageVariables(Replica replica, ExecutionStream storage, Module model, Parameter[] stored, Optimizer optimizer, VariableOptions options)
        : base(model, optimizer, replica.Shard, Working(model, stored, optimizer), options.UsableLossScaling)
    {
        (_communicator, _storage, _stored, _checksReplicas) = (replica.Communicator, storage, stored, options.ChecksReplicas);
        _isApart = replica.IsFirst && storage.Device != replica.Device;
        _batchNorm = new SynchronizedBatchNorm(model, _communicator, options);
        _buckets = new GradientBuckets(replica.Stream, _communicator, Gradients, options.BucketByteCount, options.FirstBucketByteCount, root: 0, options.Compression);
        _storedGradients = _isApart ? new GradientStore(Optimizer.Parameters) : Gradients;
        if (replica.IsFirst && options.ClipNorm is { } maxNorm) _clipping = new GradientClipping(_storedGradients, maxNorm);
    }

    public override Tensor? GradientNorm => _clipping?.Norm;

    public override bool MeetsInPasses => _batchNorm.IsUsed;

    public override void Begin(bool isLast = true) => _buckets.Begin(isLast);

    public override void End(GradientTape? tape)
    {
        base.End(tape);
        _batchNorm.OwnState.Count(tape);
    }

    public override void Update(ExecutionStream stream, float learningRate)
    {
        IReadOnlyList<Parameter> missing = _buckets.Finish();
        if (!IsReachChecked) CheckReached(stream, missing);
        _batchNorm.OwnState.Average(stream);
        if (IsFirst && _isApart) MoveGradients(stream);
        if (!TryUnscaleTogether(stream)) return;
        if (IsFirst) Step(stream, learningRate);
        else Optimizer.StepCount++;
        using (MeasuredActivity.VariableBroadcast.Begin())
        {
            foreach (Parameter parameter in Model.Parameters())
            {
                _communicator.Broadcast(stream, parameter.Value);
                parameter.MarkChanged();
            }
        }
        if (_checksReplicas) ReplicaAgreement.CheckSameValues(stream, _communicator, Model, $"after optimizer step {Optimizer.StepCount}");
    }

    internal override GradientCompression? Compression => _buckets.Compression;

    internal override IReadOnlyDictionary<string, Tensor> Residuals => _buckets.Residuals;

    public override void Sum(ExecutionStream stream, Span<double> numbers) => ReplicaAgreement.Sum(stream, _communicator, numbers);

    internal override ExecutionStream OptimizerStream(ExecutionStream stream) => _isApart ? _storage : stream;

    internal override void OnLoaded(ExecutionStream stream)
    {
        if (!_isApart) return;
        IReadOnlyList<Parameter> loaded = Model.Parameters();
        for (int i = 0; i < loaded.Count; i++) StateLoader.Copy(stream, loaded[i].Value, _stored[i].Value);
    }

    private protected override void Dispose(bool disposing)
    {
        _batchNorm.Dispose();
        _buckets.Dispose();
        base.Dispose(disposing);
        _clipping?.Dispose();
        Optimizer.Dispose();
        if (!_isApart) return;
        _storedGradients.Dispose();
        foreach (Parameter parameter in _stored) parameter.Free();
    }

    // The values of all replicas are the first one's before the storage takes them over.
    private static Parameter[] Stored(Replica replica, ExecutionStream storage, Module model)
    {
        ReplicaAgreement.Mirror(replica.Stream, replica.Communicator, model);
        replica.Stream.Synchronize();
        return [.. model.Parameters().Select(parameter => replica.IsFirst && storage.Device != replica.Device ? parameter.CopyTo(replica.Stream, storage) : parameter)];
    }

    // The optimizer may have copies of the model's parameters: the same, at the same places.
    private static IEnumerable<Parameter> Working(Module model, Parameter[] stored, Optimizer optimizer) =>
        model.Parameters().Where((_, place) => optimizer.Parameters.Contains(stored[place]));

    // Only the first replica has the sums: it tells the others what it found.
    private bool TryUnscaleTogether(ExecutionStream stream)
    {
        if (LossScaler is null) return true;
        double[] overflowed = [IsFirst ? 1 + LossScaler.Unscale(_isApart ? _storage : stream, _storedGradients) : 0];
        Sum(stream, overflowed);
        return LossScaler.TryAdvance(overflowed[0] == 0 ? null : Gradients.Parameters[(int)overflowed[0] - 1]);
    }

    private void Step(ExecutionStream stream, float learningRate)
    {
        _clipping?.Clip(_storage);
        Optimizer.Step(_isApart ? _storage : stream, _storedGradients, learningRate);
        if (!_isApart) return;
        IReadOnlyList<Parameter> working = Model.Parameters();
        for (int i = 0; i < working.Count; i++) StateLoader.Copy(_storage, _stored[i].Value, working[i].Value);
    }

    private void MoveGradients(ExecutionStream stream)
    {
        Dictionary<string, Parameter> stored = _storedGradients.Parameters.ToDictionary(parameter => parameter.Name);
        foreach (Parameter parameter in Gradients.Parameters)
        {
            if (Gradients.Of(parameter) is not { } gradient || !_storedGradients.TryTarget(_storage, stored[parameter.Name], out Tensor target, out _)) continue;
            StateLoader.Copy(stream, gradient, target);
        }
    }
}
