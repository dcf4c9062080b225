using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

/// <summary>The laws of the CPU product: equal bits for all vector widths and thread counts, and no allocation in a steady state.</summary>
public sealed class MatMulLawTests
{
    /// <summary>m, k, n and bits: 1 = a transposed, 2 = b transposed, 4 = accumulate, 8 = bias and activation. Every plan has some.</summary>
    public static TheoryData<int, int, int, int> Products => new()
    {
        { 5, 700, 3, 0 }, { 100, 400, 100, 15 }, { 130, 1000, 97, 4 }, { 1100, 900, 60, 8 }, { 1100, 50, 60, 7 }, { 64, 1024, 10, 2 }, { 9, 33, 4000, 1 },
    };

    [Theory]
    [MemberData(nameof(Products))]
    public void All_vector_widths_and_thread_counts_give_equal_bits_and_those_of_one_chain_of_multiply_adds(int m, int k, int n, int options)
    {
        float[] expected = Chain(m, k, n, options);
        foreach (InstructionSet set in InstructionSets.Supported.Where(set => set != InstructionSet.Reference))
        foreach (int threads in (int[])[1, 3])
        {
            using CpuDevice device = new("cpu", set, threads);
            Numbers.AssertSameBits(expected, Multiply(device, m, k, n, options));
        }
    }

    [Theory]
    [InlineData(96, 200, 50)]
    [InlineData(1100, 64, 96)]
    public void A_steady_state_allocates_neither_native_nor_managed_memory(int m, int k, int n)
    {
        using CpuDevice device = new("cpu", InstructionSets.Best, 2);
        ExecutionStream stream = device.DefaultStream;
        using Tensor a = Tensor.Zeros(stream, new Shape(k, m)), b = Tensor.Zeros(stream, new Shape(k, n)), output = Tensor.Zeros(stream, new Shape(m, n));
        void Call() => MatMul.Forward(stream, output, MatrixView.FromTensor(a).Transposed, b, new MatMulEpilogue(Activation: Activation.Relu));
        for (int i = 0; i < 3; i++) Call();
        long native = device.Pool.AllocationCount, managed = GC.GetAllocatedBytesForCurrentThread();

        for (int i = 0; i < 10; i++) Call();

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - managed);
        Assert.Equal(native, device.Pool.AllocationCount);
    }

    private static (float[] A, float[] B, float[] C, float[] Bias) Inputs(int m, int k, int n) =>
        (Numbers.Uniform(new Shape(m, k), 1), Numbers.Uniform(new Shape(k, n), 2), Numbers.Uniform(new Shape(m, n), 3), Numbers.Uniform(new Shape(n), 4));

    /// <summary>Each element by the law's own words.</summary>
    private static float[] Chain(int m, int k, int n, int options)
    {
        (float[] a, float[] b, float[] c, float[] bias) = Inputs(m, k, n);
        for (int i = 0; i < m; i++)
        {
            Span<float> row = c.AsSpan(i * n, n);
            if ((options & 4) == 0) row.Clear();
            for (int p = 0; p < k; p++)
            {
                float factor = (options & 1) != 0 ? a[(p * m) + i] : a[(i * k) + p];
                for (int j = 0; j < n; j++) row[j] = float.FusedMultiplyAdd(factor, (options & 2) != 0 ? b[(j * k) + p] : b[(p * n) + j], row[j]);
            }
            if ((options & 8) == 0) continue;
            for (int j = 0; j < n; j++) row[j] = Math.Max(0f, row[j] + bias[j]);
        }
        return c;
    }

    private static float[] Multiply(CpuDevice device, int m, int k, int n, int options)
    {
        ExecutionStream stream = device.DefaultStream;
        (float[] a, float[] b, float[] c, float[] bias) = Inputs(m, k, n);
        using Tensor left = Tensor.From(stream, a, (options & 1) != 0 ? new Shape(k, m) : new Shape(m, k));
        using Tensor right = Tensor.From(stream, b, (options & 2) != 0 ? new Shape(n, k) : new Shape(k, n));
        using Tensor output = Tensor.From(stream, c, new Shape(m, n)), shift = Tensor.From(stream, bias, new Shape(n));
        MatMul.Forward(
            stream, output,
            (options & 1) != 0 ? MatrixView.FromTensor(left).Transposed : left,
            (options & 2) != 0 ? MatrixView.FromTensor(right).Transposed : right,
            (options & 8) != 0 ? new MatMulEpilogue(shift, Activation.Relu) : default,
            (options & 4) != 0);
        return output.ToArray<float>(stream);
    }
}
