using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// The distillation loss and its gradient in one pass. "reused": into tensors made once; "fresh": into tensors taken from the pool for each
/// call, as a training step does.
/// </summary>
public sealed class DistillationLossWorkload : Workload
{
    private const float Alpha = 0.5f, Temperature = 4f;
    private readonly bool _isFresh;
    private readonly Tensor _components, _dStudent, _student, _teacher, _labels;

    private DistillationLossWorkload(ComputeDevice device, int rows, int classes, bool isFresh)
        : base(device)
    {
        _isFresh = isFresh;
        _components = Zeros(new Shape(3));
        _dStudent = Zeros(new Shape(rows, classes));
        _student = Random(new Shape(rows, classes), 10f);
        _teacher = Random(new Shape(rows, classes), 10f);
        _labels = RandomIndices(new Shape(rows), classes);
    }

    /// <summary>A batch of 1,024 over 1,000 classes.</summary>
    public static IEnumerable<BenchCase> Cases() => [Case(1024, 1000, isFresh: false), Case(1024, 1000, isFresh: true)];

    /// <inheritdoc/>
    public override void Run()
    {
        DistillationOptions options = new(Alpha, Temperature);
        if (!_isFresh)
        {
            DistillationLoss.Forward(Stream, _components, _dStudent, _student, _teacher, _labels, options);
            return;
        }
        using Tensor components = Tensor.Allocate(Stream, _components.Shape);
        using Tensor dStudent = Tensor.Allocate(Stream, _dStudent.Shape);
        DistillationLoss.Forward(Stream, components, dStudent, _student, _teacher, _labels, options);
    }

    private static BenchCase Case(int rows, int classes, bool isFresh) =>
        new("distillation-loss", $"{rows}x{classes} {(isFresh ? "fresh" : "reused")}", Measure.Microseconds, 3.0 * sizeof(float) * rows * classes,
            string.Create(CultureInfo.InvariantCulture, $"distillation-loss {rows} {classes} {Alpha} {Temperature}"),
            device => new DistillationLossWorkload(device, rows, classes, isFresh), Limit.Copy);
}
