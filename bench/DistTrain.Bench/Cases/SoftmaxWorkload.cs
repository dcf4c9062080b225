using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>Softmax of logits / T over rows. Bytes: logits read once and probabilities written once.</summary>
public sealed class SoftmaxWorkload : Workload
{
    private readonly float _temperature;
    private readonly Tensor _output, _input;

    private SoftmaxWorkload(ComputeDevice device, Shape shape, float temperature)
        : base(device)
    {
        _temperature = temperature;
        _output = Zeros(shape);
        _input = Random(shape, 10f);
    }

    /// <summary>A size of distillation, and one beyond any cache.</summary>
    public static IEnumerable<BenchCase> Cases() => [Case(4096, 1000, 1), Case(4096, 1000, 4), Case(65536, 1000, 4)];

    /// <inheritdoc/>
    public override void Run() => Softmax.Forward(Stream, _output, _input, _temperature);

    private static BenchCase Case(int rows, int columns, float temperature) =>
        new("softmax", $"{rows}x{columns} T={temperature}", Measure.GigabytesPerSecond, 2.0 * sizeof(float) * rows * columns,
            string.Create(CultureInfo.InvariantCulture, $"softmax {rows} {columns} {temperature}"),
            device => new SoftmaxWorkload(device, new Shape(rows, columns), temperature), Limit.Copy);
}
