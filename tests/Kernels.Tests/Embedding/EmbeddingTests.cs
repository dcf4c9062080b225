using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class EmbeddingTests(TestDevice which) : OperationTests(which)
{
    public static TheoryData<int, int, int> Sizes => new() { { 1, 1, 1 }, { 5, 3, 7 }, { 100, 127, 33 }, { 3, 1000, 64 }, { 4097, 50, 5 } };

    [Theory]
    [MemberData(nameof(Sizes))]
    public void Forward_copies_the_chosen_rows(int rowCount, int count, int columns)
    {
        if (IsTiny && (rowCount * columns > 5000 || count > 200)) return;
        (Tensor indices, int[] chosen) = Indices(rowCount, count);
        Tensor table = Random(new Shape(rowCount, columns), 1), output = Output(new Shape(count, columns));

        Embedding.Forward(Stream, output, indices, table);

        float[] rows = Read(table);
        Numbers.AssertSameBits([.. chosen.SelectMany(v => rows[(v * columns)..((v + 1) * columns)])], Read(output));
    }

    [Theory]
    [MemberData(nameof(Sizes))]
    public void BackwardWeight_adds_the_gradients_of_each_row_in_ascending_position(int rowCount, int count, int columns)
    {
        if (IsTiny && (rowCount * columns > 5000 || count > 200)) return;
        (Tensor indices, int[] chosen) = Indices(rowCount, count);
        Tensor dOutput = Random(new Shape(count, columns), 2), overwritten = Output(new Shape(rowCount, columns)), added = Random(new Shape(rowCount, columns), 3);
        float[] before = Read(added), gradients = Read(dOutput);

        Embedding.BackwardWeight(Stream, overwritten, dOutput, indices);
        Embedding.BackwardWeight(Stream, added, dOutput, indices, accumulate: true);

        double[] expected = new double[rowCount * columns];
        for (int i = 0; i < count; i++)
            for (int j = 0; j < columns; j++) expected[(chosen[i] * columns) + j] += gradients[(i * columns) + j];
        Numbers.AssertClose(expected, Read(overwritten), 2e-5f, 1e-5f);
        Numbers.AssertClose([.. expected.Zip(before, (sum, old) => sum + old)], Read(added), 2e-5f, 1e-5f);
    }

    [Fact]
    public void An_index_outside_the_table_is_an_error_on_the_CPU_and_NaN_on_a_GPU()
    {
        Tensor table = Make(new Shape(2, 2), 1f, 2f, 3f, 4f), output = Output(new Shape(3, 2)), dTable = Output(new Shape(2, 2));
        foreach (int bad in new[] { 2, -1, int.MinValue, int.MaxValue })
        {
            Tensor indices = Make(new Shape(3), 1, bad, 0);
            if (Device is CpuDevice)
            {
                Assert.Equal($"embedding: index {bad} at position 1 of [3] is outside the table's 2 rows",
                    Assert.Throws<ArgumentException>(() => Embedding.Forward(Stream, output, indices, table)).Message);
                Assert.Equal($"embedding backward: index {bad} at position 1 of [3] is outside the table's 2 rows",
                    Assert.Throws<ArgumentException>(() => Embedding.BackwardWeight(Stream, dTable, output, indices)).Message);
                continue;
            }
            Embedding.Forward(Stream, output, indices, table);
            Embedding.BackwardWeight(Stream, dTable, output, indices);
            Assert.Equal([3f, 4f, float.NaN, float.NaN, 1f, 2f], Read(output));
            Assert.Equal([1f, 2f, 3f, 4f], Read(dTable));
        }
    }

    [Fact]
    public void Wrong_shapes_are_refused_exactly_and_empty_ones_are_fine()
    {
        Tensor table = Zeros(new Shape(4, 3)), indices = Zeros(new Shape(2, 5), DType.I32);
        Assert.Equal("embedding: output has shape [10, 3], expected the indices' shape [2, 5] followed by the table's 3 columns",
            Assert.Throws<ShapeException>(() => Embedding.Forward(Stream, Zeros(new Shape(10, 3)), indices, table)).Message);
        Assert.Equal("embedding: table has shape [4], expected [rows, columns]",
            Assert.Throws<ShapeException>(() => Embedding.Forward(Stream, Zeros(new Shape(2, 5, 3)), indices, Zeros(new Shape(4)))).Message);
        Assert.Equal("embedding backward: indices is F32 [2], expected I32",
            Assert.Throws<ShapeException>(() => Embedding.BackwardWeight(Stream, table, Zeros(new Shape(2, 3)), Zeros(new Shape(2)))).Message);
        Tensor dTable = Output(new Shape(4, 3));
        Embedding.Forward(Stream, Zeros(new Shape(0, 3)), Zeros(new Shape(0), DType.I32), table);
        Embedding.BackwardWeight(Stream, dTable, Zeros(new Shape(0, 3)), Zeros(new Shape(0), DType.I32));
        Assert.All(Read(dTable), x => Assert.Equal(0f, x));
    }

    private (Tensor Indices, int[] Chosen) Indices(int rowCount, int count)
    {
        Random random = new(count);
        int[] chosen = [.. Enumerable.Range(0, count).Select(_ => random.Next(rowCount))];
        return (Make(new Shape(count), chosen), chosen);
    }
}

public sealed class EmbeddingOnReference() : EmbeddingTests(TestDevice.Reference);
public sealed class EmbeddingOnVector128() : EmbeddingTests(TestDevice.Vector128);
public sealed class EmbeddingOnAvx2() : EmbeddingTests(TestDevice.Avx2);
public sealed class EmbeddingOnAvx512() : EmbeddingTests(TestDevice.Avx512);
public sealed class EmbeddingOnPocl() : EmbeddingTests(TestDevice.OpenClPocl);
public sealed class EmbeddingOnEmulator() : EmbeddingTests(TestDevice.Emulator);
public sealed class EmbeddingOnCuda() : EmbeddingTests(TestDevice.Cuda);
