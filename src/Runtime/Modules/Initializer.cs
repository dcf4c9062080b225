using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// How a parameter's first value is drawn. Random numbers come from the host's reference generator, keyed by (seed, parameter name),
/// so all devices start from the same bits. Fans are counted as in PyTorch: fan-in is the elements of dimension 1 and further.
/// </summary>
public abstract record Initializer
{
    /// <summary>All 0.</summary>
    public static Initializer Zeros { get; } = new ConstantInitializer(0);

    /// <summary>All 1.</summary>
    public static Initializer Ones { get; } = new ConstantInitializer(1);

    /// <summary>PyTorch's default for the weights of linear and convolution layers: He uniform with a = √5, that is ±1/√fan-in.</summary>
    public static Initializer Default { get; } = new FanInUniform(1, null);

    /// <summary>Uniform in ±√(6/fan-in), for layers before ReLU (He et al. 2015, arXiv 1502.01852, equation 10).</summary>
    public static Initializer HeUniform { get; } = new FanInUniform(MathF.Sqrt(6), null);

    /// <summary>Normal with deviation √(2/fan-in) (He et al. 2015).</summary>
    public static Initializer HeNormal { get; } = new FanNormal(2, 1, 0);

    /// <summary>Uniform in ±√(6/(fan-in + fan-out)) (Glorot and Bengio 2010, equation 16).</summary>
    public static Initializer XavierUniform { get; } = new FanUniform();

    /// <summary>Normal with deviation √(2/(fan-in + fan-out)) (Glorot and Bengio 2010).</summary>
    public static Initializer XavierNormal { get; } = new FanNormal(2, 1, 1);

    /// <summary>Normal with mean 0.</summary>
    public static Initializer Normal(float standardDeviation) => new NormalInitializer(standardDeviation);

    /// <summary>Uniform in ±<paramref name="bound"/>.</summary>
    public static Initializer Uniform(float bound) => new FanInUniform(bound, 1);

    /// <summary>PyTorch's default for biases: uniform in ±1/√fan-in of the layer's weight.</summary>
    public static Initializer DefaultBias(int fanIn) => new FanInUniform(1, fanIn);

    /// <summary>A new tensor on the stream's device with the first value of the parameter of that name. Blocks until it is there.</summary>
    public abstract Tensor Create(ExecutionStream stream, Shape shape, ulong seed, string name);

    private static long FanIn(Shape shape) => shape.DimensionCount > 1 ? shape.ElementCountOf(1, shape.DimensionCount) : shape.ElementCount;

    private static long FanOut(Shape shape) =>
        shape.DimensionCount > 1 ? shape[0] * shape.ElementCountOf(2, shape.DimensionCount) : shape.ElementCount;

    private static Tensor Upload(ExecutionStream stream, Shape shape, Action<ExecutionStream, Tensor> fill)
    {
        using CpuDevice host = new("cpu", InstructionSet.Reference, 1);
        using Tensor values = Tensor.Allocate(host.DefaultStream, shape);
        fill(host.DefaultStream, values);
        Tensor result = Tensor.Allocate(stream, shape);
        result.CopyFrom<float>(stream, values.AsSpan<float>());
        return result;
    }

    private static RandomKey Key(ulong seed, string name) => new(seed, 0, RandomPath.Of(name));

    private static Tensor Uniform(ExecutionStream stream, Shape shape, float bound, ulong seed, string name) =>
        Upload(stream, shape, (host, values) => RandomFill.Uniform(host, values, -bound, bound, Key(seed, name)));

    private static Tensor Normal(ExecutionStream stream, Shape shape, double deviation, ulong seed, string name) =>
        Upload(stream, shape, (host, values) => RandomFill.Normal(host, values, 0, (float)deviation, Key(seed, name)));

    private sealed record ConstantInitializer(float Value) : Initializer
    {
        public override Tensor Create(ExecutionStream stream, Shape shape, ulong seed, string name) =>
            Upload(stream, shape, (_, values) => values.AsSpan<float>().Fill(Value));
    }

    private sealed record NormalInitializer(float StandardDeviation) : Initializer
    {
        public override Tensor Create(ExecutionStream stream, Shape shape, ulong seed, string name) =>
            Normal(stream, shape, StandardDeviation, seed, name);
    }

    /// <summary>Uniform in ±gain/√fan-in, the fan-in being the parameter's own if none is given.</summary>
    private sealed record FanInUniform(float Gain, long? Fan) : Initializer
    {
        public override Tensor Create(ExecutionStream stream, Shape shape, ulong seed, string name) =>
            Uniform(stream, shape, (float)(Gain / Math.Sqrt(Math.Max(1, Fan ?? FanIn(shape)))), seed, name);
    }

    private sealed record FanUniform : Initializer
    {
        public override Tensor Create(ExecutionStream stream, Shape shape, ulong seed, string name) =>
            Uniform(stream, shape, (float)Math.Sqrt(6.0 / (FanIn(shape) + FanOut(shape))), seed, name);
    }

    private sealed record FanNormal(double Gain, int FanInWeight, int FanOutWeight) : Initializer
    {
        public override Tensor Create(ExecutionStream stream, Shape shape, ulong seed, string name) =>
            Normal(stream, shape, Math.Sqrt(Gain / ((FanInWeight * FanIn(shape)) + (FanOutWeight * FanOut(shape)))), seed, name);
    }
}
