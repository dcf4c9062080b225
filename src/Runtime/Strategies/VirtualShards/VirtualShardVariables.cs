using System.Numerics;
using DistTrain.Collectives;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Mirrored variables whose training gives the same bits on any number of replicas: every batch is cut into a fixed number of virtual shards; each replica works off its aligned block of them
/// one after another; gradients, and the state that passes change (running statistics), are added along one fixed tree over shards, which the collectives' tree over ranks continues.
/// </summary>
internal sealed class VirtualShardVariables : ReplicaVariables
{
    private readonly ICommunicator _communicator;
    private readonly GradientStore _sums;
    private readonly GradientBuckets _buckets;
    private readonly GradientClipping? _clipping;
    private readonly FixedTreeSum _gradientTree, _stateTree;
    private readonly ExecutionStream _stream;
    private readonly Dictionary<Parameter, int> _items = [];
    private readonly bool[] _isAdded, _isReached;
    private readonly Tensor[] _state, _stateBefore, _stateSums;
    private readonly Tensor[][] _passStates;
    private readonly long[] _passSamples;
    private readonly bool _checksReplicas;
    private int _pass;

    internal VirtualShardVariables(Replica replica, Module model, Func<IReadOnlyList<Parameter>, Optimizer> optimizer, VariableOptions options)
        : base(model, Covered(optimizer(model.Parameters()), model.Parameters()), Part(replica, options.VirtualShardCount), scaling: options.LossScaling)
    {
        (_communicator, _stream, _checksReplicas) = (replica.Communicator, replica.Stream, options.ChecksReplicas);
        if (!_communicator.IsFixedOrder) throw new ArgumentException($"virtual shards need reductions in a fixed order, which {_communicator.Transport} does not give by itself: make the communicator with Determinism.FixedOrder");
        if (options.Compression is { } compression) throw new ArgumentException($"gradient compression {compression.Name} with virtual shards: what is lost depends on the number of replicas, and so would the bits: leave one of them out");
        if (SynchronizedBatchNorm.Wanted(model, options) is [var norm, ..])
            throw new ArgumentException($"'{norm.Path}' is to normalise by the whole batch, with virtual shards it does by a shard: leave one of them out");
        ReplicaAgreement.Mirror(_stream, _communicator, model);
        _sums = new GradientStore(Gradients.Parameters);
        _buckets = new GradientBuckets(_stream, _communicator, _sums, options.BucketByteCount, options.FirstBucketByteCount);
        if (options.ClipNorm is { } maxNorm) _clipping = new GradientClipping(_sums, maxNorm);
        foreach (Parameter parameter in Gradients.Parameters) _items.Add(parameter, _items.Count);
        (_isAdded, _isReached) = (new bool[_items.Count], new bool[_items.Count]);
        _gradientTree = new FixedTreeSum(_stream, PassesPerStep, Gradients.Parameters.Select(Sum));
        _state = [.. model.StateTensors().Select(state => state.Value)];
        _stateBefore = [.. _state.Select(tensor => Tensor.Allocate(_stream, tensor.Shape))];
        _stateSums = [.. _state.Select(tensor => Tensor.Allocate(_stream, tensor.Shape))];
        _stateTree = new FixedTreeSum(_stream, PassesPerStep, _stateSums);
        _passStates = [.. Enumerable.Range(0, PassesPerStep).Select(_ => _state.Select(tensor => Tensor.Allocate(_stream, tensor.Shape)).ToArray())];
        _passSamples = new long[PassesPerStep];
        Gradients.GradientReady += (parameter, gradient) =>
        {
            _isReached[_items[parameter]] = true;
            Add(parameter, gradient);
        };
    }

    public override int PassesPerStep => Shard.VirtualCount / Shard.Count;

    public override Tensor? GradientNorm => _clipping?.Norm;

    public override void Begin(bool isLast = true)
    {
        if (_pass == 0)
        {
            _sums.Clear();
            for (int i = 0; i < _state.Length; i++) _state[i].CopyTo(_stream, _stateBefore[i]);
        }
        if (isLast != (_pass == PassesPerStep - 1)) throw new InvalidOperationException($"pass {_pass + 1} of a step was said to be {(isLast ? "the last" : "not the last")}; with {Shard.VirtualCount} virtual shards on {Shard.Count} replicas a step has {PassesPerStep} passes");
        Gradients.Clear();
        _isAdded.AsSpan().Clear();
        _buckets.Begin(reduces: isLast);
    }

    public override void End(GradientTape? tape)
    {
        tape?.ApplyStateUpdates();
        // Every pass changes the same state as it was before the step.
        _passSamples[_pass] = tape?.SampleCount ?? 0;
        for (int i = 0; i < _state.Length; i++)
        {
            _state[i].CopyTo(_stream, _passStates[_pass][i]);
            _stateBefore[i].CopyTo(_stream, _state[i]);
        }
        foreach (Parameter parameter in Gradients.Parameters)
        {
            if (_isAdded[_items[parameter]] || !Gradients.TryTarget(_stream, parameter, out Tensor gradient, out _)) continue;
            gradient.Clear(_stream);
            Add(parameter, gradient);
        }
        _pass++;
    }

    public override void Update(ExecutionStream stream, float learningRate)
    {
        if (_pass != PassesPerStep) throw new InvalidOperationException($"a step ends after {_pass} passes, expected {PassesPerStep}");
        _pass = 0;
        _buckets.Finish();
        if (!IsReachChecked) CheckReached(stream, [.. Gradients.Parameters.Where(parameter => !_isReached[_items[parameter]])]);
        if (_state.Length > 0) AverageState(stream);
        if (!TryUnscale(stream, _sums)) return;
        _clipping?.Clip(stream);
        Optimizer.Step(stream, _sums, learningRate);
        if (_checksReplicas) ReplicaAgreement.CheckSameValues(stream, _communicator, Model, $"after optimizer step {Optimizer.StepCount}");
    }

    public override void Sum(ExecutionStream stream, Span<double> numbers) => ReplicaAgreement.Sum(stream, _communicator, numbers);

    private protected override void Dispose(bool disposing)
    {
        _buckets.Dispose();
        base.Dispose(disposing);
        _sums.Dispose();
        _clipping?.Dispose();
        _gradientTree.Dispose();
        _stateTree.Dispose();
        foreach (Tensor tensor in _stateBefore.Concat(_stateSums).Concat(_passStates.SelectMany(state => state))) tensor.Dispose();
        Optimizer.Dispose();
    }

    private static BatchShard Part(Replica replica, int virtualShardCount)
    {
        if (!BitOperations.IsPow2(virtualShardCount) || !BitOperations.IsPow2(replica.Count) || replica.Count > virtualShardCount)
            throw new ArgumentException($"{virtualShardCount} virtual shards on {replica.Count} replicas: both must be powers of two, and there must be no more replicas than shards");
        return new BatchShard(replica.Index, replica.Count, virtualShardCount);
    }

    // The mean of what passes made of the state, by their samples, is the step's.
    private void AverageState(ExecutionStream stream)
    {
        using Tensor factors = SampleWeights.Factors(stream, _communicator, _passSamples);
        for (int pass = 0; pass < PassesPerStep; pass++)
        {
            SampleWeights.Apply(stream, factors, pass, _passStates[pass]);
            for (int i = 0; i < _state.Length; i++) _stateTree.Add(stream, i, pass, _passStates[pass][i]);
        }
        for (int i = 0; i < _state.Length; i++)
        {
            _communicator.AllReduce(stream, _stateSums[i]);
            Elementwise.Scale(stream, _state[i], _stateSums[i], 1f / Shard.VirtualCount);
        }
    }

    private Tensor Sum(Parameter parameter) => _sums.TryTarget(_stream, parameter, out Tensor sum, out _) ? sum : throw new InvalidOperationException($"no sum for '{parameter.Name}'");

    private void Add(Parameter parameter, Tensor gradient)
    {
        int item = _items[parameter];
        _isAdded[item] = true;
        _gradientTree.Add(_stream, item, _pass, gradient);
        if (_pass < PassesPerStep - 1) return;
        _ = Sum(parameter);
        _buckets.MarkReady(parameter);
    }
}
