using DistTrain.Kernels;
using Xunit;

namespace DistTrain.TestKit;

/// <summary>
/// The frame of an operation's tests: the device under test, tensors that are disposed at the end, and the check that nothing leaked.
/// Test classes of one device run one after another (the collection), so the leak count is theirs alone.
/// </summary>
public abstract class OperationTests : IDisposable
{
    private readonly List<Tensor> _tensors = [];
    private readonly int _rentedBefore;

    protected OperationTests(TestDevice which)
    {
        Which = which;
        Device = TestDevices.Get(which);
        Stream = Device.DefaultStream;
        _rentedBefore = Device.Pool.RentedCount;
    }

    protected TestDevice Which { get; }

    protected ComputeDevice Device { get; }

    protected ExecutionStream Stream { get; }

    /// <summary>True on the emulator: use tiny sizes.</summary>
    protected bool IsTiny => TestDevices.IsTiny(Which);

    /// <summary>A tensor with these elements, disposed after the test.</summary>
    protected Tensor Make<T>(Shape shape, params T[] elements) where T : unmanaged => Track(Tensor.From(Stream, elements, shape));

    /// <summary>A tensor of numbers drawn evenly from [-scale, scale), the same for the same seed on every device; disposed after the test.</summary>
    protected Tensor Random(Shape shape, int seed, float scale = 1f) => Track(Tensor.From(Stream, Numbers.Uniform(shape, seed, scale), shape));

    /// <summary>A tensor full of NaN, to be overwritten; disposed after the test.</summary>
    protected Tensor Output(Shape shape)
    {
        float[] nan = new float[shape.ElementCount];
        Array.Fill(nan, float.NaN);
        return Track(Tensor.From(Stream, nan, shape));
    }

    protected Tensor Zeros(Shape shape, DType dtype = DType.F32) => Track(Tensor.Zeros(Stream, shape, dtype));

    protected Tensor Track(Tensor tensor)
    {
        _tensors.Add(tensor);
        return tensor;
    }

    protected float[] Read(Tensor tensor) => tensor.ToArray<float>(Stream);

    public void Dispose()
    {
        GC.SuppressFinalize(this);
        foreach (Tensor tensor in _tensors) tensor.Dispose();
        Stream.Synchronize();
        Assert.Equal(_rentedBefore, Device.Pool.RentedCount);
    }
}
