using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

/// <summary>A product of factors stored in 16 bits is the product of the widened factors, to the bit.</summary>
public abstract class MatMulSixteenBitTests(TestDevice which) : OperationTests(which)
{
    private static readonly DType[] s_types = [DType.BF16, DType.F16, DType.F32];

    // Own blocks, shared blocks with several depths, ragged panels; small and tiled GPU kernels.
    public static TheoryData<int, int, int> Sizes => new() { { 1, 1, 1 }, { 7, 5, 9 }, { 17, 70, 50 }, { 64, 130, 96 }, { 600, 33, 60 }, { 520, 600, 51 }, { 257, 64, 256 } };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Factors_of_any_type_and_transposition_give_the_bits_of_their_widened_copies(int m, int k, int n)
    {
        if (IsTiny && m * k * n > 5_000) Assert.Skip("too many products for the emulator");
        if (Which == TestDevice.Reference && m * k * n > 2_000_000) Assert.Skip("too many products for plain loops");
        foreach ((DType aType, DType bType) in Pairs(isLarge: m * k * n > 200_000))
        for (int transposes = 0; transposes < 4; transposes++)
        {
            (MatrixView a, MatrixView aWide) = Factor(new Shape(m, k), aType, (transposes & 1) != 0, 1);
            (MatrixView b, MatrixView bWide) = Factor(new Shape(k, n), bType, (transposes & 2) != 0, 2);
            using Tensor found = Tensor.Zeros(Stream, new Shape(m, n)), expected = Tensor.Zeros(Stream, new Shape(m, n));

            MatMul.Forward(Stream, found, a, b);
            MatMul.Forward(Stream, expected, aWide, bWide);

            Numbers.AssertSameBits(Read(expected), Read(found));
        }
    }

    [Fact]
    public void Batches_views_bias_activation_and_accumulation_are_as_in_f32()
    {
        (MatrixView a, MatrixView aWide) = Factor(new Shape(3, 9, 14), DType.BF16, isTransposed: false, 1);
        (MatrixView b, MatrixView bWide) = Factor(new Shape(3, 14, 6), DType.F16, isTransposed: true, 2);
        MatrixView part = MatrixView.Strided(a.Tensor, 4, 5, 14, 3, 9 * 14, 3), partWide = MatrixView.Strided(aWide.Tensor, 4, 5, 14, 3, 9 * 14, 3);
        MatrixView one = MatrixView.Strided(b.Tensor, 5, 6, 6, offset: 2), oneWide = MatrixView.Strided(bWide.Tensor, 5, 6, 6, offset: 2);
        Tensor bias = Random(new Shape(6), 3), found = Random(new Shape(3, 9, 6), 4), expected = Random(new Shape(3, 9, 6), 4), foundPart = Zeros(new Shape(3, 4, 6)), expectedPart = Zeros(new Shape(3, 4, 6));

        MatMul.Forward(Stream, found, a, b, new MatMulEpilogue(bias, Activation.Gelu), accumulate: true);
        MatMul.Forward(Stream, expected, aWide, bWide, new MatMulEpilogue(bias, Activation.Gelu), accumulate: true);
        MatMul.Forward(Stream, foundPart, part, one);
        MatMul.Forward(Stream, expectedPart, partWide, oneWide);

        Numbers.AssertSameBits(Read(expected), Read(found));
        Numbers.AssertSameBits(Read(expectedPart), Read(foundPart));
    }

    [Fact]
    public void Outputs_biases_and_integers_stay_f32()
    {
        Tensor a = Zeros(new Shape(2, 3), DType.BF16), b = Zeros(new Shape(3, 4), DType.BF16), output = Zeros(new Shape(2, 4));
        Assert.Contains("output is BF16 [2, 4], expected F32", Assert.Throws<ShapeException>(() => MatMul.Forward(Stream, Zeros(new Shape(2, 4), DType.BF16), a, b)).Message, StringComparison.Ordinal);
        Assert.Contains("bias is F16", Assert.Throws<ShapeException>(() => MatMul.Forward(Stream, output, a, b, new MatMulEpilogue(Zeros(new Shape(4), DType.F16)))).Message, StringComparison.Ordinal);
        Assert.Contains("a is I32 [2, 3], expected F32", Assert.Throws<ShapeException>(() => MatMul.Forward(Stream, output, Zeros(new Shape(2, 3), DType.I32), b)).Message, StringComparison.Ordinal);
    }

    // All of them where they cost nothing; a kernel of its own takes PoCL a second or more.
    private (DType A, DType B)[] Pairs(bool isLarge) => (isLarge, Device.Kind == DeviceKind.OpenCl) switch
    {
        (true, true) => [(DType.BF16, DType.BF16)],
        (true, false) => [(DType.BF16, DType.F32), (DType.F32, DType.F16), (DType.BF16, DType.BF16)],
        (false, true) => [(DType.BF16, DType.BF16), (DType.F32, DType.F16)],
        _ => [.. from a in s_types from b in s_types where (a, b) != (DType.F32, DType.F32) select (a, b)],
    };

    /// <summary>Random elements in the type, and the same in f32; the shape is that of the view.</summary>
    private (MatrixView Factor, MatrixView Wide) Factor(Shape shape, DType dtype, bool isTransposed, int seed)
    {
        Shape stored = isTransposed ? (shape.DimensionCount == 2 ? new Shape(shape[1], shape[0]) : new Shape(shape[0], shape[2], shape[1])) : shape;
        Tensor wide = Random(stored, seed), factor = wide;
        if (dtype != DType.F32)
        {
            factor = Zeros(stored, dtype);
            Cast.Convert(Stream, factor, wide);
            Cast.Convert(Stream, wide, factor);
        }
        return isTransposed ? (MatrixView.FromTensor(factor).Transposed, MatrixView.FromTensor(wide).Transposed) : (factor, wide);
    }
}

public sealed class MatMulSixteenBitOnReference() : MatMulSixteenBitTests(TestDevice.Reference);
public sealed class MatMulSixteenBitOnVector128() : MatMulSixteenBitTests(TestDevice.Vector128);
public sealed class MatMulSixteenBitOnAvx2() : MatMulSixteenBitTests(TestDevice.Avx2);
public sealed class MatMulSixteenBitOnAvx512() : MatMulSixteenBitTests(TestDevice.Avx512);
public sealed class MatMulSixteenBitOnPocl() : MatMulSixteenBitTests(TestDevice.OpenClPocl);
public sealed class MatMulSixteenBitOnEmulator() : MatMulSixteenBitTests(TestDevice.Emulator);
public sealed class MatMulSixteenBitOnCuda() : MatMulSixteenBitTests(TestDevice.Cuda);
