using System.Buffers;
using CsCheck;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class BatchCodecTests
{
    private static readonly BatchLayout s_layout = BatchLayout.Empty.With("x", ElementType.Float32, 2).WithPadded("tokens", ElementType.Int16, [BatchLayout.Longest], lengths: "length");

    [Fact]
    public void Batches_in_a_shuffle_s_buffer_are_saved_where_there_is_no_index()
    {
        Dataset<long> numbers = Dataset.FromEnumerable(Dataset.Range(40).ToArray());
        CheckpointChecker.Check(() => numbers.Batch(3).Shuffle(4, 1), batch => string.Join(' ', batch));
        CheckpointChecker.Check(() => numbers.Map(n => $"word {n}").Batch(3).Shuffle(4, 1), batch => string.Join(' ', batch));
        CheckpointChecker.Check(() => Padded(numbers).Shuffle(4, 1), Show);
    }

    [Fact]
    public void A_batch_read_back_is_the_batch()
    {
        using DatasetIterator<TensorBatch> run = Padded(Dataset.Range(7)).Iterate();
        while (run.TryNext(out TensorBatch? batch))
        {
            using (batch)
            {
                using TensorBatch back = TensorBatch.Decode(Encode(batch));
                Assert.Equal((Show(batch), batch.FirstIndex, batch.Count), (Show(back), back.FirstIndex, back.Count));
                Assert.Equal(batch["tokens"].Shape.ToArray(), back["tokens"].Shape.ToArray());
            }
        }
    }

    [Fact]
    public void Bytes_that_are_no_batch_are_refused_whatever_they_are()
    {
        using DatasetIterator<TensorBatch> run = Padded(Dataset.Range(3)).Iterate();
        Assert.True(run.TryNext(out TensorBatch? batch));
        byte[] good = Encode(batch);
        batch.Dispose();
        for (int length = 0; length < good.Length; length++) Assert.Throws<FormatException>(() => TensorBatch.Decode(good.AsSpan(0, length)));
        Gen.Select(Gen.Int[0, good.Length - 1], Gen.Byte).Sample((at, value) =>
        {
            byte[] bad = [.. good];
            bad[at] = value;
            try
            {
                TensorBatch.Decode(bad).Dispose();
            }
            catch (FormatException)
            {
                // Said so.
            }
        }, iter: 2000, threads: 1);
    }

    private static Dataset<TensorBatch> Padded(Dataset<long> numbers) => numbers.PaddedBatch(3, s_layout, (n, extents) => extents.Set("tokens", (int)(n % 4)), (n, row) =>
    {
        row.Write<float>("x", [n, n + 0.5f]);
        row.Span<short>("tokens").Fill((short)n);
    });

    private static byte[] Encode(TensorBatch batch)
    {
        ArrayBufferWriter<byte> bytes = new();
        batch.Encode(bytes);
        return bytes.WrittenSpan.ToArray();
    }

    private static string Show(TensorBatch batch) =>
        $"{string.Join(' ', batch["x"].As<float>().ToArray())} / {string.Join(' ', batch["tokens"].As<short>().ToArray())} / {string.Join(' ', batch["length"].As<int>().ToArray())}";
}
