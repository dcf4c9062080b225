using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class MatMulTests(TestDevice which) : OperationTests(which)
{
    public static TheoryData<int, int, int> Sizes => new()
    {
        { 1, 1, 1 }, { 2, 3, 4 }, { 7, 1, 9 }, { 1, 64, 1 }, { 17, 33, 50 }, { 13, 5, 49 }, { 64, 48, 96 }, { 100, 127, 10 }, { 3, 300, 65 },
    };

    /// <summary>Several blocks of rows, columns and depth on the CPU.</summary>
    public static TheoryData<int, int, int> LargeSizes => new()
    {
        { 300, 20, 400 }, { 270, 600, 50 }, { 40, 1030, 51 },
    };

    [Theory]
    [MemberData(nameof(LargeSizes))]
    public void Large_product_is_rows_times_columns_for_every_combination_of_transposes(int m, int k, int n)
    {
        if (Which is TestDevice.Vector128 or TestDevice.Avx2 or TestDevice.Avx512) Product_is_rows_times_columns_for_every_combination_of_transposes(m, k, n);
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Product_is_rows_times_columns_for_every_combination_of_transposes(int m, int k, int n)
    {
        for (int combination = 0; combination < 4; combination++)
        {
            MatrixView a = (combination & 1) == 0 ? Random(new Shape(m, k), 1) : MatrixView.FromTensor(Random(new Shape(k, m), 1)).Transposed;
            MatrixView b = (combination & 2) == 0 ? Random(new Shape(k, n), 2) : MatrixView.FromTensor(Random(new Shape(n, k), 2)).Transposed;
            Tensor output = Output(new Shape(m, n));

            MatMul.Forward(Stream, output, a, b);

            AssertProduct(Product(a, b, 1), output, k);
        }
    }

    [Fact]
    public void Bias_and_activation_are_applied_after_the_sum()
    {
        Tensor a = Make(new Shape(2, 2), 1f, 2f, 3f, 4f), b = Make(new Shape(2, 2), 1f, -1f, 1f, 0f);
        Tensor bias = Make(new Shape(2), 0.5f, -2f), output = Make(new Shape(2, 2), 1f, 1f, 10f, 10f);

        MatMul.Forward(Stream, output, a, b, new MatMulEpilogue(bias, Activation.Relu), accumulate: true);

        Assert.Equal([4.5f, 0f, 17.5f, 5f], Read(output));
    }

    /// <summary>The product in double, [batch, m, n].</summary>
    private double[] Product(MatrixView a, MatrixView b, int batchCount)
    {
        float[] left = Read(a.Tensor), right = Read(b.Tensor);
        double[] product = new double[batchCount * a.Rows * b.Columns];
        for (int batch = 0, e = 0; batch < batchCount; batch++)
        for (int i = 0; i < a.Rows; i++)
        for (int j = 0; j < b.Columns; j++, e++)
        for (int k = 0; k < a.Columns; k++)
            product[e] += (double)left[Index(a, batch, i, k)] * right[Index(b, batch, k, j)];
        return product;
    }

    private static long Index(MatrixView view, int batch, int row, int column) =>
        view.Offset + ((view.BatchCount == 1 ? 0 : batch) * view.BatchStride) + (row * view.RowStride) + (column * view.ColumnStride);

    /// <summary>Elements in [-1, 1): the error of a sum of k products is within k roundings of a sum of size √k.</summary>
    private void AssertProduct(double[] expected, Tensor output, int k) =>
        Numbers.AssertClose(expected, Read(output), absolute: 1e-7f * (4 + k), relative: 1e-5f);
}

public sealed class MatMulOnReference() : MatMulTests(TestDevice.Reference);
public sealed class MatMulOnVector128() : MatMulTests(TestDevice.Vector128);
public sealed class MatMulOnAvx2() : MatMulTests(TestDevice.Avx2);
public sealed class MatMulOnAvx512() : MatMulTests(TestDevice.Avx512);
public sealed class MatMulOnPocl() : MatMulTests(TestDevice.OpenClPocl);
public sealed class MatMulOnEmulator() : MatMulTests(TestDevice.Emulator);
public sealed class MatMulOnCuda() : MatMulTests(TestDevice.Cuda);
