using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

/// <summary>What the entry refuses: the same on every device, so tested on one.</summary>
public sealed class MatMulShapeTests() : OperationTests(TestDevice.Vector128)
{
    [Fact]
    public void Inner_sizes_that_differ_are_refused() => Refused(
        "matmul: a [2, 3] has 3 columns, b [4, 5] has 4 rows; they must be equal",
        Zeros(new Shape(2, 5)), Zeros(new Shape(2, 3)), Zeros(new Shape(4, 5)));

    [Fact]
    public void An_output_of_another_size_is_refused() => Refused(
        "matmul: output [5, 2] must be [2, 5], the rows of a [2, 3] by the columns of b [3, 5]",
        Zeros(new Shape(5, 2)), Zeros(new Shape(2, 3)), Zeros(new Shape(3, 5)));

    [Fact]
    public void A_batch_that_is_neither_the_outputs_nor_one_is_refused()
    {
        Refused("matmul: a [3, 2, 3] has a batch of 3, output [2, 2, 5] one of 2; a's must be the same or 1",
            Zeros(new Shape(2, 2, 5)), Zeros(new Shape(3, 2, 3)), Zeros(new Shape(3, 5)));
        Refused("matmul: b [2, 3, 5] has a batch of 2, output [2, 5] one of 1; b's must be the same or 1",
            Zeros(new Shape(2, 5)), Zeros(new Shape(2, 3)), Zeros(new Shape(2, 3, 5)));
    }

    [Fact]
    public void A_transposed_output_is_refused() => Refused(
        "matmul: output [2, 5] is transposed; multiply the transposed inputs in the other order instead",
        MatrixView.FromTensor(Zeros(new Shape(5, 2))).Transposed, Zeros(new Shape(2, 3)), Zeros(new Shape(3, 5)));

    [Fact]
    public void An_output_whose_rows_share_elements_is_refused() => Refused(
        "matmul: output [2, 5] with row stride 4 and batch stride 0 has elements that lie in the same place",
        MatrixView.Strided(Zeros(new Shape(20)), 2, 5, 4), Zeros(new Shape(2, 3)), Zeros(new Shape(3, 5)));

    [Fact]
    public void A_bias_of_another_length_is_refused()
    {
        ShapeException failure = Assert.Throws<ShapeException>(() => MatMul.Forward(
            Stream, Zeros(new Shape(2, 5)), Zeros(new Shape(2, 3)), Zeros(new Shape(3, 5)), new MatMulEpilogue(Zeros(new Shape(2)))));

        Assert.Equal("matmul: bias has shape [2], expected [5]", failure.Message);
    }

    [Fact]
    public void An_output_that_overlaps_an_operand_is_refused()
    {
        Tensor memory = Zeros(new Shape(100));
        MatrixView front = MatrixView.Strided(memory, 4, 4, 4), behind = MatrixView.Strided(memory, 4, 4, 4, offset: 15), apart = MatrixView.Strided(memory, 4, 4, 4, offset: 40);

        Refused("matmul: output [4, 4] overlaps a [4, 4] in memory; it must be another tensor", front, behind, apart);
        Refused("matmul: output [4, 4] overlaps b [4, 4] in memory; it must be another tensor", front, apart, behind);
        MatMul.Forward(Stream, front, apart, apart);
    }

    [Fact]
    public void A_vector_is_no_matrix()
    {
        Tensor vector = Zeros(new Shape(5));

        ShapeException failure = Assert.Throws<ShapeException>(() => MatMul.Forward(Stream, vector, vector, vector));

        Assert.Equal("matrix view: a tensor [5] is no matrix, two or more dimensions are needed; use Reshape", failure.Message);
    }

    [Theory]
    [InlineData(2, 5, 5, 2, 10, 1, "2 matrices [2, 5] with row stride 5, batch stride 10 and offset 1 do not lie in the 20 elements of [4, 5]")]
    [InlineData(-1, 5, 5, 1, 0, 0, "rows -1, columns 5, row stride 5, batch count 1, batch stride 0 and offset 0 must not be negative")]
    public void A_view_beyond_its_tensor_is_refused(int rows, int columns, int rowStride, int batchCount, int batchStride, int offset, string expected)
    {
        Tensor tensor = Zeros(new Shape(4, 5));

        ShapeException failure = Assert.Throws<ShapeException>(() => MatrixView.Strided(tensor, rows, columns, rowStride, batchCount, batchStride, offset));

        Assert.Equal("matrix view: " + expected, failure.Message);
    }

    private void Refused(string expected, MatrixView output, MatrixView a, MatrixView b)
    {
        ShapeException failure = Assert.Throws<ShapeException>(() => MatMul.Forward(Stream, output, a, b));
        Assert.Equal(expected, failure.Message);
    }
}
