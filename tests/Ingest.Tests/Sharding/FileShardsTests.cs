using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class FileShardsTests
{
    [Fact]
    public void Every_nth_file_is_a_replicas()
    {
        FileShards shards = new(["a", "b", "c", "d", "e"], [3, 5, 2, 0, 4], batchSize: 7, replicaCount: 2);

        Assert.Equal(["a", "c", "e"], shards.FilesOf(0));
        Assert.Equal(["b", "d"], shards.FilesOf(1));
        Assert.Equal((9L, 5L, 14L), (shards.SampleCountOf(0), shards.SampleCountOf(1), shards.SampleCount));
        Assert.Equal((4, 3), (shards.BatchSizeOf(0), shards.BatchSizeOf(1)));
        Assert.Equal((3L, 2L, 3L), (shards.BatchCountOf(0), shards.BatchCountOf(1), shards.BatchCount));
        Assert.Equal([(4, 3), (4, 2), (1, 0)], Enumerable.Range(0, 3).Select(step => (shards.Rows(0, step), shards.Rows(1, step))));
        Assert.Equal([7, 6, 1], Enumerable.Range(0, 3).Select(step => shards.Rows(step)));
    }

    [Fact]
    public void The_parts_of_all_steps_are_all_samples_once() =>
        Gen.Select(Gen.Int[0, 30].Array[1, 12], Gen.Int[1, 6], Gen.Int[1, 20]).Where((counts, replicas, batch) => counts.Length >= replicas && batch >= replicas).Sample((counts, replicas, batch) =>
        {
            FileShards shards = new([.. counts.Select((_, i) => $"{i}")], [.. counts.Select(count => (long)count)], batch, replicas);
            long next = 0;
            for (long step = 0; step < shards.BatchCount; step++)
            {
                Assert.InRange(shards.Rows(step), 1, batch);
                for (int replica = 0; replica < replicas; replica++)
                {
                    Assert.Equal(next, shards.Offset(replica, step));
                    next += shards.Rows(replica, step);
                }
            }
            Assert.Equal(counts.Sum(), next);
            Assert.Equal(shards.SampleCount, next);
            Assert.Equal(0, shards.Rows(shards.BatchCount));
        }, iter: 500);

    [Theory]
    [InlineData(ShardPolicy.Auto, 4, 2, ShardPolicy.File)]
    [InlineData(ShardPolicy.Auto, 4, 4, ShardPolicy.File)]
    [InlineData(ShardPolicy.Auto, 5, 2, ShardPolicy.Data)]
    [InlineData(ShardPolicy.Auto, 2, 4, ShardPolicy.Data)]
    [InlineData(ShardPolicy.File, 5, 2, ShardPolicy.File)]
    [InlineData(ShardPolicy.Off, 1, 4, ShardPolicy.Off)]
    public void A_policy_is_chosen_by_the_numbers_of_files_and_replicas(ShardPolicy policy, int files, int replicas, ShardPolicy expected) => Assert.Equal(expected, FileShards.Choose(policy, files, replicas));

    [Fact]
    public void What_cannot_be_divided_is_refused()
    {
        Assert.Equal("2 file(s) can't be divided among 3 replicas: some would have none; take ShardPolicy.Data, which divides batches, or write at least 3 files",
            Assert.Throws<ArgumentException>(() => new FileShards(["a", "b"], [1, 1], 8, 3)).Message);
        Assert.StartsWith("1 counts of samples for 2 files: give one for each", Assert.Throws<ArgumentException>(() => new FileShards(["a", "b"], [1], 8, 2)).Message, StringComparison.Ordinal);
        Assert.StartsWith("'b' is said to have -1 samples: expected 0 or more", Assert.Throws<ArgumentException>(() => new FileShards(["a", "b"], [1, -1], 8, 2)).Message, StringComparison.Ordinal);
        Assert.StartsWith("batches of 1 can't be divided among 2 replicas", Assert.Throws<ArgumentException>(() => new FileShards(["a", "b"], [1, 1], 1, 2)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Elements_are_counted_by_what_is_told_by_the_index_or_by_reading()
    {
        using TemporaryFolder folder = new();
        string file = Path.Combine(folder.Path, "five.tfrecord");
        using (TFRecordWriter writer = TFRecordWriter.Append(file))
            for (int i = 0; i < 5; i++) writer.Write([(byte)i]);

        Assert.Equal(7, Dataset.Range(7).CountElements());
        Assert.Equal(5, Dataset.FromTFRecord(file).CountElements());
        Assert.Equal(5, Dataset.FromTFRecord(file).Shuffle(3, seed: 1).CountElements());
        Assert.Equal(4, Dataset.Range(7).Filter(number => number % 2 == 0).CountElements());
        Assert.Equal(0, Dataset.Range(7).Filter(_ => false).CountElements());
        Assert.Equal("Repeat has no end: bound it with Take", Assert.Throws<InvalidOperationException>(() => Dataset.Range(7).Repeat().CountElements()).Message);
    }
}
