using CsCheck;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class ShardBatchesTests
{
    [Fact]
    public void Parts_of_a_batch_side_by_side_are_the_batch() =>
        Gen.Select(Gen.Int[0, 90], Gen.Int[1, 20], Gen.Int[1, 7], Gen.Bool, Gen.Bool).Where(t => t.Item2 >= t.Item3).Sample((size, batch, replicas, isIndexed, dropRemainder) =>
        {
            Dataset<long> data = isIndexed ? Dataset.Range(size) : Sources.Stream(size).AssertCardinality(size);
            long[][] whole = [.. Sources.Numbers(size).Chunk(batch).Where(b => !dropRemainder || b.Length == batch)];
            for (int b = 0; b < whole.Length; b++)
            {
                IEnumerable<long> parts = Enumerable.Range(0, replicas).SelectMany(replica =>
                {
                    BatchShard shard = new(replica, replicas);
                    return data.ShardBatches(batch, shard, dropRemainder).Chunk((int)shard.Length(batch)).ElementAtOrDefault(b) ?? [];
                });
                Assert.Equal(whole[b], parts);
            }
            Assert.All(Enumerable.Range(0, replicas), replica =>
            {
                Dataset<long> part = data.ShardBatches(batch, new BatchShard(replica, replicas), dropRemainder);
                Assert.Equal(part.Cardinality.Count, part.Count());
            });
        }, iter: 150, threads: 1);

    [Fact]
    public void Positions_behind_whole_batches_mean_the_same_to_every_number_of_replicas() =>
        Gen.Select(Gen.Int[0, 200], Gen.Int[1, 20], Gen.Int[1, 9], Gen.Int[1, 9]).Where(t => t.Item2 >= Math.Max(t.Item3, t.Item4)).Sample((size, batch, before, after) =>
        {
            BatchDivision first = new(size, batch, new BatchShard(0, before), false);
            for (int b = 0; b <= size / batch; b++)
            {
                long global = first.ToGlobal(b * first.Shard.Length(batch));
                Assert.Equal(Math.Min(size, b * batch), global);
                for (int replica = 0; replica < after; replica++)
                {
                    BatchDivision other = new(size, batch, new BatchShard(replica, after), false);
                    Assert.Equal(Math.Min(other.Count, b * other.Shard.Length(batch)), other.FromGlobal(global));
                }
            }
        }, iter: 200, threads: 1);

    [Fact]
    public void A_run_saved_by_the_first_of_two_replicas_goes_on_with_three()
    {
        List<string> together = [], apart = [];
        IteratorState state;
        using (DatasetIterator<long> run = Data(0, 2).Iterate())
        {
            for (int i = 0; i < 4 * 6; i++) Assert.True(run.TryNext(out _));
            state = run.Save();
        }
        foreach (int replica in new[] { 0, 1, 2 })
        {
            using DatasetIterator<long> run = Data(replica, 3).Iterate();
            run.Restore(state);
            List<long> rest = [];
            while (run.TryNext(out long n)) rest.Add(n);
            apart.AddRange(rest.Chunk(4).Select((part, b) => $"{b}: {string.Join(' ', part)}"));
        }
        // 48 elements of epoch 0 and 12 of epoch 1 were done: batches 1 to 3 of epoch 1 are left. 60 is no multiple of 12 x 5, so an epoch has five batches.
        for (int b = 0; b < 6; b++) together.AddRange(Dataset.Range(60).GlobalShuffle(4).Repeat(2).Chunk(12).Skip(4 + b).Take(1).SelectMany(batch => batch.Chunk(4).Select(part => $"{b}: {string.Join(' ', part)}")));
        Assert.Equal(together.Order(), apart.Order());

        static Dataset<long> Data(int replica, int replicas) => Dataset.Range(60).GlobalShuffle(4).ShardBatches(12, new BatchShard(replica, replicas)).Repeat(2);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_run_goes_on_exactly_where_it_was_saved(bool isIndexed) => CheckpointChecker.Check(() =>
        (isIndexed ? Dataset.Range(50) : Dataset.FromEnumerable(Sources.Numbers(50)).AssertCardinality(50)).ShardBatches(8, new BatchShard(1, 3)).Repeat(2), maxElements: 100);

    [Fact]
    public void What_cannot_be_divided_is_refused()
    {
        Assert.Equal("batches of 3 can't be divided among 4 replicas: take at least as many elements a batch, or fewer replicas",
            Assert.Throws<ArgumentException>(() => Dataset.Range(9).ShardBatches(3, new BatchShard(0, 4))).Message);
        Assert.Contains("AssertCardinality", Assert.Throws<ArgumentException>(() => Dataset.Range(9).Filter(_ => true).ShardBatches(4, new BatchShard(0, 2))).Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => Dataset.Range(9).ShardBatches(4, default));
        Assert.Throws<ArgumentOutOfRangeException>(() => new BatchShard(2, 2));
    }
}
