using CsCheck;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class MatMulTests(TestDevice which) : OperationTests(which)
{
    private static readonly bool s_soak = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1";

    public static TheoryData<int, int, int> Sizes => new()
    {
        { 1, 1, 1 }, { 2, 3, 4 }, { 7, 1, 9 }, { 1, 64, 1 }, { 17, 33, 50 }, { 13, 5, 49 }, { 64, 48, 96 }, { 100, 127, 10 }, { 3, 300, 65 },
    };

    /// <summary>Several blocks of rows, columns and depth on the CPU; whole and ragged tiles of the large GPU kernel.</summary>
    public static TheoryData<int, int, int> LargeSizes => new()
    {
        { 500, 20, 130 }, { 390, 400, 50 }, { 40, 1030, 51 }, { 1030, 30, 60 }, { 256, 64, 256 }, { 129, 33, 257 },
    };

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

    [Theory]
    [MemberData(nameof(LargeSizes))]
    public void Large_product_is_rows_times_columns_for_every_combination_of_transposes(int m, int k, int n)
    {
        Assert.SkipWhen(IsTiny, "too many products for the emulator");
        Product_is_rows_times_columns_for_every_combination_of_transposes(m, k, n);
    }

    [Fact]
    public void Any_shape_any_transposes_any_batch_any_epilogue_match_the_product_in_double() =>
        Cases.Sample(CheckCase, seed: "0003mPu4kB4t", iter: s_soak ? 2_000 : IsTiny ? 6 : 40, threads: 1);

    [Fact]
    public void A_batch_of_one_serves_every_output_matrix()
    {
        Tensor many = Random(new Shape(3, 5, 4), 1), one = Random(new Shape(1, 4, 6), 2), output = Output(new Shape(3, 5, 6)), mirrored = Output(new Shape(3, 6, 5));

        MatMul.Forward(Stream, output, many, one);
        MatMul.Forward(Stream, mirrored, MatrixView.FromTensor(one).Transposed, MatrixView.FromTensor(many).Transposed);

        double[] expected = Product(many, one, 3);
        AssertProduct(expected, output, 4);
        float[] straight = Read(output), turned = Read(mirrored);
        for (int batch = 0; batch < 3; batch++)
        for (int i = 0; i < 5; i++)
        for (int j = 0; j < 6; j++)
            Assert.Equal(straight[(((batch * 5) + i) * 6) + j], turned[(((batch * 6) + j) * 5) + i], 1e-6f);
    }

    [Fact]
    public void Strided_views_read_and_write_only_their_own_elements()
    {
        // Heads of attention: [tokens, heads, width] seen as `heads` matrices of [tokens, width], interleaved in memory.
        const int Tokens = 9, Heads = 3, Width = 5, Gap = 2, Row = Heads * (Width + Gap);
        Tensor input = Random(new Shape(Tokens, Row), 1), weight = Random(new Shape(Width, Width), 2), output = Output(new Shape(Tokens, Row));
        MatrixView heads = MatrixView.Strided(input, Tokens, Width, Row, Heads, Width + Gap, offset: 1);

        MatMul.Forward(Stream, MatrixView.Strided(output, Tokens, Width, Row, Heads, Width + Gap, offset: 1), heads, weight);

        double[] expected = Product(heads, weight, Heads);
        float[] found = Read(output);
        int written = found.Count(value => !float.IsNaN(value));
        Assert.Equal(Tokens * Heads * Width, written);
        for (int head = 0, e = 0; head < Heads; head++)
        for (int token = 0; token < Tokens; token++)
        for (int j = 0; j < Width; j++, e++)
            Assert.Equal(expected[e], found[1 + (token * Row) + (head * (Width + Gap)) + j], 1e-5);
    }

    [Fact]
    public void Bias_and_activation_are_applied_after_the_sum()
    {
        Tensor a = Make(new Shape(2, 2), 1f, 2f, 3f, 4f), b = Make(new Shape(2, 2), 1f, -1f, 1f, 0f);
        Tensor bias = Make(new Shape(2), 0.5f, -2f), output = Make(new Shape(2, 2), 1f, 1f, 10f, 10f);

        MatMul.Forward(Stream, output, a, b, new MatMulEpilogue(bias, Activation.Relu), accumulate: true);

        Assert.Equal([4.5f, 0f, 17.5f, 5f], Read(output));
    }

    [Theory]
    [InlineData(Activation.Relu)]
    [InlineData(Activation.Gelu)]
    [InlineData(Activation.Silu)]
    [InlineData(Activation.Tanh)]
    [InlineData(Activation.Sigmoid)]
    [InlineData(Activation.GeluTanh)]
    public void Fused_activation_equals_the_activation_of_the_product(Activation activation)
    {
        Tensor a = Random(new Shape(11, 7), 1, 3f), b = Random(new Shape(7, 53), 2, 3f), bias = Random(new Shape(53), 3);
        Tensor fused = Output(new Shape(11, 53)), plain = Output(new Shape(11, 53)), apart = Output(new Shape(11, 53));

        MatMul.Forward(Stream, fused, a, b, new MatMulEpilogue(bias, activation));
        MatMul.Forward(Stream, plain, a, b, new MatMulEpilogue(bias));
        Activations.Forward(Stream, apart, plain, activation);

        Numbers.AssertClose(Read(apart), Read(fused), 1e-6f, 1e-5f);
    }

    [Fact]
    public void Without_depth_the_product_is_zero_and_the_epilogue_still_applies()
    {
        Tensor a = Zeros(new Shape(3, 0)), b = Zeros(new Shape(0, 2)), bias = Make(new Shape(2), 1f, -1f);
        Tensor overwritten = Output(new Shape(3, 2)), added = Make(new Shape(3, 2), 1f, 2f, 3f, 4f, 5f, 6f);

        MatMul.Forward(Stream, overwritten, a, b, new MatMulEpilogue(bias, Activation.Relu));
        MatMul.Forward(Stream, added, a, b, new MatMulEpilogue(bias), accumulate: true);

        Assert.Equal([1f, 0f, 1f, 0f, 1f, 0f], Read(overwritten));
        Assert.Equal([2f, 1f, 4f, 3f, 6f, 5f], Read(added));
    }

    [Theory]
    [InlineData(0, 3, 1)]
    [InlineData(3, 0, 1)]
    [InlineData(3, 3, 0)]
    public void An_output_without_elements_is_left_alone(int rows, int columns, int batch)
    {
        Tensor output = Zeros(new Shape(batch, rows, columns));

        MatMul.Forward(Stream, output, Zeros(new Shape(batch, rows, 4)), Zeros(new Shape(1, 4, columns)));

        Assert.Empty(Read(output));
    }

    [Fact]
    public void Not_a_number_reaches_exactly_the_elements_that_use_it()
    {
        Tensor a = Make(new Shape(2, 2), float.NaN, 1f, 2f, 3f), b = Make(new Shape(2, 2), 1f, 0f, 1f, float.PositiveInfinity), output = Output(new Shape(2, 2));

        MatMul.Forward(Stream, output, a, b, new MatMulEpilogue(Activation: Activation.Relu));

        Assert.Equal([float.NaN, float.NaN, 5f, float.PositiveInfinity], Read(output));
    }

    private static Gen<Case> Cases => Gen.Select(
        Gen.Int[1, 90], Gen.Int[0, 140], Gen.Int[1, 110], Gen.Int[0, 31], Gen.Int[1, 3], Gen.Int[0, 100_000],
        static (m, k, n, options, batch, seed) => new Case(m, k, n, options, batch, seed));

    private void CheckCase(Case sample)
    {
        int scale = IsTiny ? 4 : 1, m = (sample.M + scale - 1) / scale, k = sample.K / scale, n = (sample.N + scale - 1) / scale;
        int aBatch = (sample.Options & 16) != 0 ? 1 : sample.Batch;
        Tensor aTensor = Random((sample.Options & 1) != 0 ? new Shape(aBatch, k, m) : new Shape(aBatch, m, k), sample.Seed);
        Tensor bTensor = Random((sample.Options & 2) != 0 ? new Shape(n, k) : new Shape(k, n), sample.Seed + 1);
        MatrixView a = (sample.Options & 1) != 0 ? MatrixView.FromTensor(aTensor).Transposed : aTensor;
        MatrixView b = (sample.Options & 2) != 0 ? MatrixView.FromTensor(bTensor).Transposed : bTensor;
        Tensor output = Random(new Shape(sample.Batch, m, n), sample.Seed + 2), bias = Random(new Shape(n), sample.Seed + 3);
        float[] before = Read(output), shift = Read(bias);
        bool accumulates = (sample.Options & 4) != 0, hasBias = (sample.Options & 8) != 0;

        MatMul.Forward(Stream, output, a, b, new MatMulEpilogue(hasBias ? bias : null, Activation.Relu), accumulates);

        double[] expected = Product(a, b, sample.Batch);
        for (int e = 0; e < expected.Length; e++)
            expected[e] = Math.Max(0, expected[e] + (accumulates ? before[e] : 0) + (hasBias ? shift[e % n] : 0));
        AssertProduct(expected, output, k);
    }

    /// <summary>The product in double, [batch, m, n].</summary>
    private double[] Product(MatrixView a, MatrixView b, int batchCount)
    {
        float[] left = Read(a.Tensor), right = Read(b.Tensor);
        double[] product = new double[batchCount * a.Rows * b.Columns];
        for (int batch = 0; batch < batchCount; batch++)
        for (int i = 0; i < a.Rows; i++)
        {
            Span<double> row = product.AsSpan(((batch * a.Rows) + i) * b.Columns, b.Columns);
            for (int k = 0; k < a.Columns; k++)
            {
                double factor = left[Index(a, batch, i, k)];
                long first = Index(b, batch, k, 0), step = b.ColumnStride;
                for (int j = 0; j < row.Length; j++) row[j] += factor * right[first + (j * step)];
            }
        }
        return product;
    }

    private static long Index(MatrixView view, int batch, int row, int column) =>
        view.Offset + ((view.BatchCount == 1 ? 0 : batch) * view.BatchStride) + (row * view.RowStride) + (column * view.ColumnStride);

    /// <summary>Elements in [-1, 1): the error of a sum of k products is within k roundings of a sum of size √k.</summary>
    private void AssertProduct(double[] expected, Tensor output, int k) =>
        Numbers.AssertClose(expected, Read(output), absolute: 1e-7f * (4 + k), relative: 1e-5f);

    private sealed record Case(int M, int K, int N, int Options, int Batch, int Seed);
}

public sealed class MatMulOnReference() : MatMulTests(TestDevice.Reference);
public sealed class MatMulOnVector128() : MatMulTests(TestDevice.Vector128);
public sealed class MatMulOnAvx2() : MatMulTests(TestDevice.Avx2);
public sealed class MatMulOnAvx512() : MatMulTests(TestDevice.Avx512);
public sealed class MatMulOnPocl() : MatMulTests(TestDevice.OpenClPocl);
public sealed class MatMulOnEmulator() : MatMulTests(TestDevice.Emulator);
public sealed class MatMulOnCuda() : MatMulTests(TestDevice.Cuda);
