using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Variables of which every replica has a copy, all with the same bits at all times: gradients are summed in buckets while backward runs, then each replica's optimizer makes the same step.
/// </summary>
internal sealed class MirroredVariables : ReplicaVariables
{
    private readonly ICommunicator _communicator;
    private readonly GradientBuckets _buckets;
    private readonly GradientClipping? _clipping;
    private readonly SynchronizedBatchNorm _batchNorm;
    private readonly bool _checksReplicas;

    internal MirroredVariables(Replica replica, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions options)
        : base(model, Covered(optimizer(model.Parameters()), model.Parameters()), replica.Shard, scaling: options.UsableLossScaling)
    {
        (_communicator, _checksReplicas) = (replica.Communicator, options.ChecksReplicas);
        ReplicaAgreement.Mirror(replica.Stream, _communicator, model);
        _batchNorm = new SynchronizedBatchNorm(model, _communicator, options);
        _buckets = new GradientBuckets(replica.Stream, _communicator, Gradients, options.BucketByteCount, options.FirstBucketByteCount, compression: options.Compression);
        if (options.ClipNorm is { } maxNorm) _clipping = new GradientClipping(Gradients, maxNorm);
    }

    public override Tensor? GradientNorm => _clipping?.Norm;

    public override bool MeetsInPasses => _batchNorm.IsUsed;

    /// <summary>The buckets, for measurements.</summary>
    internal GradientBuckets Buckets => _buckets;

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
        if (!TryUnscale(stream, Gradients)) return;
        _clipping?.Clip(stream);
        Optimizer.Step(stream, Gradients, learningRate);
        if (_checksReplicas) ReplicaAgreement.CheckSameValues(stream, _communicator, Model, $"after optimizer step {Optimizer.StepCount}");
    }

    internal override GradientCompression? Compression => _buckets.Compression;

    internal override IReadOnlyDictionary<string, Tensor> Residuals => _buckets.Residuals;

    public override void Sum(ExecutionStream stream, Span<double> numbers) => ReplicaAgreement.Sum(stream, _communicator, numbers);

    private protected override void Dispose(bool disposing)
    {
        _batchNorm.Dispose();
        _buckets.Dispose();
        base.Dispose(disposing);
        _clipping?.Dispose();
        Optimizer.Dispose();
    }
}
