using DistTrain.Kernels;

namespace DistTrain.Collectives.Tests;

/// <summary>
/// Inputs whose reduction is exact in any order of operations, as nccl-tests has them: small integers for sums, a few factors of two for products. So results are compared exactly, whatever the algorithm.
/// </summary>
internal static class TestValues
{
    internal static readonly DType[] Types = [DType.F32, DType.F64, DType.I32, DType.I64, DType.F16, DType.BF16];

    internal static double Input(ReduceOp op, int rank, int worldSize, long element) => op switch
    {
        // Powers of two whose product stays within f16: two ranks of each element double, the others leave it.
        ReduceOp.Product => (rank + element) % worldSize < 2 ? 2 : 1,
        ReduceOp.Average => worldSize * ((rank + element) % 3),
        _ => ((rank * 3) + element) % 5,
    };

    internal static double Reduced(ReduceOp op, int worldSize, long element)
    {
        IEnumerable<double> inputs = Enumerable.Range(0, worldSize).Select(rank => Input(op, rank, worldSize, element));
        return op switch
        {
            ReduceOp.Sum => inputs.Sum(),
            ReduceOp.Product => inputs.Aggregate(1.0, (a, b) => a * b),
            ReduceOp.Min => inputs.Min(),
            ReduceOp.Max => inputs.Max(),
            _ => inputs.Sum() / worldSize,
        };
    }

    internal static Tensor Make(ExecutionStream stream, DType dtype, IReadOnlyList<double> values)
    {
        Tensor tensor = Tensor.Allocate(stream, new Shape(values.Count), dtype);
        for (int i = 0; i < values.Count; i++) Write(tensor, i, values[i]);
        return tensor;
    }

    internal static void Write(Tensor tensor, int index, double value)
    {
        switch (tensor.DType)
        {
            case DType.F32: tensor.AsSpan<float>()[index] = (float)value; break;
            case DType.F64: tensor.AsSpan<double>()[index] = value; break;
            case DType.I32: tensor.AsSpan<int>()[index] = (int)value; break;
            case DType.I64: tensor.AsSpan<long>()[index] = (long)value; break;
            case DType.F16: tensor.AsSpan<Half>()[index] = (Half)value; break;
            default: tensor.AsSpan<ushort>()[index] = (ushort)(BitConverter.SingleToUInt32Bits((float)value) >> 16); break;
        }
    }

    internal static double[] Read(Tensor tensor) => tensor.DType switch
    {
        DType.F32 => [.. tensor.AsSpan<float>().ToArray().Select(v => (double)v)],
        DType.F64 => tensor.AsSpan<double>().ToArray(),
        DType.I32 => [.. tensor.AsSpan<int>().ToArray().Select(v => (double)v)],
        DType.I64 => [.. tensor.AsSpan<long>().ToArray().Select(v => (double)v)],
        DType.F16 => [.. tensor.AsSpan<Half>().ToArray().Select(v => (double)v)],
        _ => [.. tensor.AsSpan<ushort>().ToArray().Select(v => (double)BitConverter.UInt32BitsToSingle((uint)v << 16))],
    };
}
