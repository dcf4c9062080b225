using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>C[m,n] = op(A)[m,k] op(B)[k,n], overwriting C. Work: 2mnk operations.</summary>
public sealed class MatMulWorkload : Workload
{
    private readonly Tensor _output, _a, _b;
    private readonly bool _transposeA, _transposeB;

    private MatMulWorkload(ComputeDevice device, int m, int n, int k, bool transposeA, bool transposeB)
        : base(device)
    {
        _output = Zeros(new Shape(m, n));
        _a = Random(transposeA ? new Shape(k, m) : new Shape(m, k));
        _b = Random(transposeB ? new Shape(n, k) : new Shape(k, n));
        _transposeA = transposeA;
        _transposeB = transposeB;
    }

    /// <summary>All cases; sizes are named MxKxN, operands N (as stored) or T (transposed).</summary>
    public static IEnumerable<BenchCase> Cases()
    {
        foreach (int size in (int[])[384, 768, 1536, 2304])
            foreach (string operands in (string[])["NN", "NT", "TN"])
                yield return Case(size, size, size, operands);
        yield return Case(1000, 1000, 1000, "NN");
        yield return Case(127, 4097, 333, "NN");
        yield return Case(32, 1024, 1024, "NN");
        yield return Case(256, 1024, 10, "NN");
    }

    /// <summary>Squares big enough for a GPU.</summary>
    public static IEnumerable<BenchCase> GpuCases() => ((int[])[1024, 2048, 4096]).Select(size => Case(size, size, size, "NN"));

    /// <inheritdoc/>
    public override void Run()
    {
        MatrixView a = _a, b = _b;
        MatMul.Forward(Stream, _output, _transposeA ? a.Transposed : a, _transposeB ? b.Transposed : b);
    }

    private static BenchCase Case(int m, int k, int n, string operands)
    {
        bool transposeA = operands[0] == 'T', transposeB = operands[1] == 'T';
        string name = m == k && k == n ? $"{m} {operands}" : $"{m}x{k}x{n} {operands}";
        string question = string.Create(CultureInfo.InvariantCulture, $"matmul {m} {n} {k} {(transposeA ? 't' : 'n')} {(transposeB ? 't' : 'n')}");
        return new BenchCase("matmul", name, Measure.GigaflopsPerSecond, 2.0 * m * n * k, question,
            device => new MatMulWorkload(device, m, n, k, transposeA, transposeB), Limit.Arithmetic);
    }
}
