using System.Diagnostics;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// The gradients of one replica, laid out in the buckets of a <see cref="BucketPlan"/> and summed over all replicas while backward still runs: a bucket starts as soon as its last gradient
/// is complete and the bucket before it has started. Buckets start in the order of their numbers on every replica, never in the order in which they happen to be ready, so that replicas
/// always meet in the same one (S. Li et al., "PyTorch Distributed", VLDB 2020, section 4.2.3). All replicas make it at the same time, over parameters of the same shapes in the same order.
/// </summary>
/// <remarks>
/// A step: <see cref="Begin"/>, one or more backward passes into the store, <see cref="Finish"/>. Gradients are summed, not averaged: scale each replica's loss by its share of the samples
/// (or tokens) of the step, and uneven shares come out right. Not thread-safe.
/// </remarks>
public sealed class GradientBuckets : IDisposable
{
    /// <summary>Of gradients that travel whole.</summary>
    internal static readonly IReadOnlyDictionary<string, Tensor> NoResiduals = new Dictionary<string, Tensor>();

    private const int Alignment = 64;
    private readonly ICommunicator _communicator;
    private readonly GradientStore _gradients;
    private readonly ExecutionStream _stream;
    private readonly GradientBucket[] _buckets;
    private readonly Dictionary<Parameter, GradientBucket> _bucketOf = [];
    private readonly Tensor[] _views;
    private readonly int? _root;
    private bool _reduces;
    private int _started;

    /// <summary>Makes the buckets and binds the store's gradients to them; collective where the communicator registers memory.</summary>
    /// <param name="stream">The replica's stream; its device holds the buckets.</param>
    /// <param name="communicator">Joins the replicas; stays the caller's, and must outlive this. The buckets' memory goes with it.</param>
    /// <param name="gradients">The replica's gradients; stays the caller's.</param>
    /// <param name="capacity">Bytes of a bucket.</param>
    /// <param name="firstCapacity">Bytes of the first bucket.</param>
    /// <param name="root">The one rank that gets the sums; null: all do.</param>
    /// <param name="compression">How gradients travel; null: as they are.</param>
    public GradientBuckets(ExecutionStream stream, ICommunicator communicator, GradientStore gradients, long capacity = BucketPlan.DefaultByteCount, long firstCapacity = BucketPlan.DefaultFirstByteCount,
        int? root = null, GradientCompression? compression = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(communicator);
        ArgumentNullException.ThrowIfNull(gradients);
        (_stream, _communicator, _gradients, _root, Compression) = (stream, communicator, gradients, root, compression);
        IReadOnlyList<Parameter> parameters = gradients.Parameters;
        IReadOnlyList<Bucket> plan = BucketPlan.Create([.. parameters.Select(p => p.Shape.ElementCount * sizeof(float))], capacity, firstCapacity, Alignment);
        Func<long, long, Tensor> place = Memory(plan.Sum(bucket => bucket.ByteCount));
        _buckets = new GradientBucket[plan.Count];
        List<Tensor> views = [];
        long offset = 0;
        for (int i = 0; i < plan.Count; i++)
        {
            // Registered in this order, the last parameter first: about the order in which backward completes them.
            Parameter[] members = [.. Enumerable.Range(plan[i].First, plan[i].Count).Select(k => parameters[parameters.Count - 1 - k])];
            _buckets[i] = new GradientBucket(i, members, place(offset, plan[i].ByteCount / sizeof(float)));
            foreach (Parameter member in members)
            {
                using Tensor flat = place(offset, member.Shape.ElementCount);
                Tensor view = flat.Reshape(member.Shape);
                views.Add(view);
                gradients.Bind(member, view);
                _bucketOf.Add(member, _buckets[i]);
                offset += Padded(member.Shape.ElementCount * sizeof(float));
            }
        }
        _views = [.. views];
        Residuals = compression is null ? NoResiduals : Compress(compression);
        gradients.GradientReady += OnReady;
    }

    /// <summary>The buckets in the order in which they are reduced.</summary>
    public IReadOnlyList<GradientBucket> Buckets => _buckets;

    /// <summary>How gradients travel; null: as they are.</summary>
    public GradientCompression? Compression { get; }

    /// <summary>What compression keeps back on this replica from step to step, by parameter, a vector each; empty: nothing, or nothing that is saved.</summary>
    internal IReadOnlyDictionary<string, Tensor> Residuals { get; }

    /// <summary>How long the last step's reductions took in all, each by itself.</summary>
    public TimeSpan ReductionTime { get; private set; }

    /// <summary>The part of it that <see cref="Finish"/> waited for: what backward did not hide.</summary>
    public TimeSpan ExposedTime { get; private set; }

    /// <summary>Bytes that this replica hands to the reductions of a step.</summary>
    public long SentByteCount => _buckets.Sum(bucket => bucket.Compressor?.SentByteCount ?? bucket.Memory.ByteCount);

    /// <summary>Starts a step's gradients.</summary>
    /// <param name="reduces">False for all backward passes of a step but the last: they add up on this replica only.</param>
    /// <exception cref="InvalidOperationException">A step whose reductions have begun was not finished: other replicas are in the middle of it.</exception>
    public void Begin(bool reduces = true)
    {
        if (_reduces && _started > 0)
            throw new InvalidOperationException($"a step begins, but {_started} of {_buckets.Length} gradient bucket(s) of the one before are on their way to the other replicas: end each step with {nameof(Finish)}; after a pass that threw, no replica can go on");
        (_reduces, _started) = (reduces, 0);
        foreach (GradientBucket bucket in _buckets) bucket.Begin();
    }

    /// <summary>
    /// Starts what has not started yet and makes the stream wait for all. Afterwards every gradient of the store is the sum over all replicas, with the same bits on each. A parameter that
    /// no backward pass of this replica reached takes part with zeros, so that replicas never wait for each other in vain.
    /// </summary>
    /// <returns>The parameters that this replica had no gradient for.</returns>
    /// <exception cref="CollectiveException">The communicator failed; the gradients are undefined.</exception>
    public IReadOnlyList<Parameter> Finish()
    {
        if (!_reduces) return [];
        IReadOnlyList<Parameter> missing = [.. _gradients.ParametersWithoutGradient];
        foreach (Parameter parameter in missing)
        {
            if (!_gradients.TryTarget(_stream, parameter, out Tensor gradient, out _)) continue;
            gradient.Clear(_stream);
        }
        while (_started < _buckets.Length) StartNext();
        long asked = Stopwatch.GetTimestamp();
        foreach (GradientBucket bucket in _buckets)
        {
            bucket.Handle!.WaitOn(_stream);
            bucket.Compressor?.Finish(_stream, bucket.Memory);
        }
        Record(asked);
        ExposedTime = Stopwatch.GetElapsedTime(asked);
        ReductionTime = TimeSpan.FromTicks(_buckets.Sum(bucket => bucket.Handle!.Duration.Ticks));
        _reduces = false;
        return missing;
    }

    /// <summary>Gives up the tensors; the memory goes with the communicator, since freeing it would need all replicas.</summary>
    public void Dispose()
    {
        _gradients.GradientReady -= OnReady;
        Free();
    }

    private void Free()
    {
        foreach (Tensor view in _views.Concat(Residuals?.Values ?? [])) view.Dispose();
        foreach (GradientBucket bucket in _buckets) bucket.Dispose();
    }

    // Makes each bucket's compressor, and finds the parameters' places in what it keeps.
    private Dictionary<string, Tensor> Compress(GradientCompression compression)
    {
        Dictionary<string, Tensor> residuals = [];
        try
        {
            foreach (GradientBucket bucket in _buckets)
            {
                bucket.Compressor = compression.Create(_stream, _communicator, (int)bucket.Memory.ElementCount, _root);
                if (bucket.Compressor.Residual is not { } residual) continue;
                if (residual.DType != DType.F32 || residual.Shape != bucket.Memory.Shape)
                    throw new ArgumentException($"compression {compression.Name} keeps {residual.DType} {residual.Shape} of a bucket of {bucket.Memory.Shape}: {nameof(IBucketCompressor)}.{nameof(IBucketCompressor.Residual)} must have an f32 for each element");
                int first = 0;
                foreach (Parameter parameter in bucket.Parameters)
                {
                    residuals.Add(parameter.Name, residual.Slice(first, (int)parameter.Shape.ElementCount));
                    first += (int)(Padded(parameter.Shape.ElementCount * sizeof(float)) / sizeof(float));
                }
            }
            return residuals;
        }
        catch
        {
            foreach (Tensor view in residuals.Values) view.Dispose();
            Free();
            throw;
        }
    }

    private void Record(long asked)
    {
        MeasuredActivity.CommunicationWait.Record(asked, Stopwatch.GetTimestamp());
        foreach (GradientBucket bucket in _buckets)
        {
            long began = bucket.Handle!.StartTimestamp, ended = began + (long)(bucket.Handle.Duration.TotalSeconds * Stopwatch.Frequency);
            MeasuredActivity.Communication.Record(began, ended, bucket.Index, bucket.Compressor?.SentByteCount ?? bucket.Memory.ByteCount);
        }
    }

    private static long Padded(long byteCount) => (byteCount + Alignment - 1) / Alignment * Alignment;

    // Gives the tensor at a place of the memory for all buckets.
    private Func<long, long, Tensor> Memory(long byteCount)
    {
        if (_stream.Device.Kind == DeviceKind.Cpu)
        {
            RegisteredMemory memory = _communicator.Allocate(_stream.Device, Math.Max(byteCount, 1));
            return (offset, elementCount) => memory.Tensor(new Shape(checked((int)elementCount)), DType.F32, offset);
        }
        DeviceBuffer? buffer = null;
        return (offset, elementCount) =>
        {
            using Tensor? first = buffer is null ? Tensor.Zeros(_stream, new Shape(checked((int)(byteCount / sizeof(float))))) : null;
            buffer ??= first!.Buffer;
            return new Tensor(buffer, new Shape(checked((int)elementCount)), DType.F32, offset);
        };
    }

    private void OnReady(Parameter parameter, Tensor gradient)
    {
        if (_reduces) MarkReady(parameter);
    }

    /// <summary>For gradients that are put in place by somebody else than a backward pass into the store.</summary>
    internal void MarkReady(Parameter parameter)
    {
        _bucketOf[parameter].MarkReady();
        while (_started < _buckets.Length && _buckets[_started].IsReady) StartNext();
    }

    private void StartNext()
    {
        GradientBucket bucket = _buckets[_started++];
        bucket.Handle = bucket.Compressor is { } compressor ? compressor.Start(_stream, bucket.Memory)
            : _root is not { } root ? _communicator.AllReduceAsync(_stream, bucket.Memory)
            : _communicator.ReduceAsync(_stream, bucket.Memory, _communicator.Rank == root ? bucket.Memory : null, root);
    }
}
