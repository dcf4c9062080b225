using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// What the passes of a step weigh: their share of the elements, or else of the samples, of all passes of all replicas. Every element weighs the same then, wherever it lies; the mean of the
/// passes' means would give those of a pass with few of them more. Elements are counted before the first pass, since gradients are on their way to the other replicas while passes run.
/// </summary>
internal sealed class PassWeights
{
    private readonly Func<ExecutionStream, Tensor, double>? _count;
    private readonly double[] _total = new double[1];
    private double[] _passes = [];
    private int[] _labels = [];
    private double _own;

    internal PassWeights(TrainerOptions options) => _count = options.ElementCount ?? (options.IgnoreIndex is { } ignored ? (stream, labels) => CountOthers(stream, labels, ignored) : null);

    /// <summary>What the replica's loss of the step weighs among those of other replicas and steps.</summary>
    internal double Own(in Batch batch) => _count is null ? batch.Count : _own;

    /// <summary>Whether a pass over samples has none that counts.</summary>
    internal bool IsEmpty(int pass) => _count is not null && _passes[pass] == 0;

    /// <summary>A pass's share of the step of all replicas.</summary>
    internal float OfAll(in Batch batch, in PassRows rows, int pass) => _count is null ? (float)rows.Count / batch.GlobalCount : Share(_passes[pass], _total[0]);

    /// <summary>A pass's share of the step of this replica.</summary>
    internal float OfOwn(in Batch batch, in PassRows rows, int pass) => _count is null ? (float)rows.Count / batch.Count : Share(_passes[pass], _own);

    /// <summary>Counts the elements of a step's passes, and adds up those of all replicas: collective, where there is something to count.</summary>
    /// <exception cref="InvalidOperationException">A count is negative or not finite.</exception>
    internal void Count(ExecutionStream stream, ReplicaVariables variables, in Batch batch, long step, int passCount)
    {
        if (_count is null) return;
        if (_passes.Length != passCount) _passes = new double[passCount];
        for (int pass = 0; pass < passCount; pass++)
        {
            PassRows rows = PassRows.Of(variables, batch, pass, passCount);
            _passes[pass] = 0;
            if (rows.Count == 0) continue;
            using Tensor labels = batch.Labels.Slice(rows.First, rows.Count);
            double count = _count(stream, labels);
            if (!(count >= 0 && double.IsFinite(count)))
                throw new InvalidOperationException($"step {step}, replica {variables.Shard.Index} of {variables.Shard.Count}: {nameof(TrainerOptions.ElementCount)} counted {count} elements in pass {pass + 1} of {passCount} (labels {labels.Shape}): give a finite number, 0 where none counts");
            _passes[pass] = count;
        }
        _total[0] = _own = TreeSum(_passes);
        variables.Sum(stream, _total);
    }

    private static float Share(double count, double total) => total > 0 ? (float)(count / total) : 0;

    // Along the tree that reductions in a fixed order continue over replicas: the same bits on any number of them, also where elements count by halves.
    private static double TreeSum(ReadOnlySpan<double> numbers) => numbers.Length switch
    {
        0 => 0,
        1 => numbers[0],
        _ => TreeSum(numbers[..((numbers.Length + 1) / 2)]) + TreeSum(numbers[((numbers.Length + 1) / 2)..]),
    };

    private double CountOthers(ExecutionStream stream, Tensor labels, int ignored)
    {
        if (stream.Device is CpuDevice) return labels.ElementCount - labels.AsSpan<int>().Count(ignored);
        if (_labels.Length < labels.ElementCount) _labels = new int[labels.ElementCount];
        Span<int> host = _labels.AsSpan(0, (int)labels.ElementCount);
        labels.CopyTo(stream, host);
        return host.Length - host.Count(ignored);
    }
}
