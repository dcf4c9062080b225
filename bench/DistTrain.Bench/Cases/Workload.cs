using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// The body of a case, written once for BenchmarkDotNet, the rows and the allocation gate: tensors made at construction, and one call that
/// enqueues the work. Owns its tensors.
/// </summary>
public abstract class Workload : IDisposable
{
    private readonly List<Tensor> _tensors = [];
    private int _seed = 1;

    /// <summary>A workload on the device's default stream.</summary>
    protected Workload(ComputeDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        Stream = device.DefaultStream;
    }

    /// <summary>Where the work goes.</summary>
    public ExecutionStream Stream { get; }

    /// <summary>The work of one call where it depends on the device; null where the case knows it.</summary>
    public virtual double? OwnWork => null;

    /// <summary>True where sleeps and other machines set the pace, not code: there is nothing to warm up.</summary>
    public virtual bool IsPaced => false;

    /// <summary>Seconds a call as the workload itself takes them, spending about so many; null where calls are timed from outside, by the batch.</summary>
    public virtual double? TakeOwnSeconds(double seconds) => null;

    /// <summary>Enqueues the work once.</summary>
    public abstract void Run();

    /// <summary>A stretch of the work as it goes on and on, without beginning and end, for the allocation gate: some dozens of calls must be possible.</summary>
    public virtual void RunSteady() => Run();

    /// <summary>Frees what the workload made.</summary>
    public virtual void Dispose()
    {
        GC.SuppressFinalize(this);
        Stream.Synchronize();
        foreach (Tensor tensor in _tensors) tensor.Dispose();
        _tensors.Clear();
    }

    /// <summary>Numbers drawn evenly from [-scale, scale), others at each call, the same in each process.</summary>
    protected Tensor Random(Shape shape, float scale = 1f)
    {
        Random random = new(_seed++);
        float[] numbers = GC.AllocateUninitializedArray<float>(checked((int)shape.ElementCount));
        for (int i = 0; i < numbers.Length; i++) numbers[i] = ((random.NextSingle() * 2f) - 1f) * scale;
        return Own(Tensor.From(Stream, numbers, shape));
    }

    /// <summary>Indices drawn evenly from [0, end).</summary>
    protected Tensor RandomIndices(Shape shape, int end)
    {
        Random random = new(_seed++);
        int[] numbers = new int[shape.ElementCount];
        for (int i = 0; i < numbers.Length; i++) numbers[i] = random.Next(end);
        return Own(Tensor.From(Stream, numbers, shape));
    }

    /// <summary>Zeros: pages are touched before anything is timed.</summary>
    protected Tensor Zeros(Shape shape, DType dtype = DType.F32) => Own(Tensor.Zeros(Stream, shape, dtype));

    /// <summary>Disposes the tensor with the workload.</summary>
    protected Tensor Own(Tensor tensor)
    {
        _tensors.Add(tensor);
        return tensor;
    }
}
