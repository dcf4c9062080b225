using CsCheck;

namespace DistTrain.Runtime.Tests;

public sealed class ElasticBatchPlanTests
{
    [Fact]
    public void Every_listed_count_shares_the_batch_exactly_and_no_other_can()
    {
        Gen.Select(Gen.Int[1, 20_000], Gen.Int[1, 64].Array[1, 5], Gen.Int[1, 40], Gen.Int[0, 200]).Sample((largest, sizes, least, more) =>
        {
            sizes = [.. sizes.Select(size => int.Min(size, largest))];
            ElasticBatchPlan plan;
            try
            {
                plan = ElasticBatchPlan.Choose(largest, sizes, least, least + more);
            }
            catch (ArgumentException)
            {
                // Rightly so: not even one step of the smallest micro-batch, a multiple of it or of all, is shared by any.
                Assert.DoesNotContain(Enumerable.Range(least, more + 1), count => count * sizes.Min() <= largest && largest / sizes.Min() * sizes.Min() / sizes.Min() % count == 0);
                return;
            }
            Assert.InRange(plan.GlobalBatch, 1, largest);
            for (int count = least; count <= least + more; count++)
            {
                bool canShare = sizes.Any(size => plan.GlobalBatch % (count * size) == 0);
                Assert.Equal(canShare, plan.WorkerCounts.Contains(count));
                if (!canShare) continue;
                ElasticBatch share = plan.For(count);
                Assert.Equal(plan.GlobalBatch, count * share.MicroBatch * share.AccumulationSteps);
                Assert.Equal(sizes.Where(size => plan.GlobalBatch / count % size == 0).Max(), share.MicroBatch);
            }
        });
    }

    [Fact]
    public void At_least_as_many_counts_share_it_as_share_the_largest_multiple_of_any_micro_batch()
    {
        Gen.Select(Gen.Int[64, 20_000], Gen.Int[1, 64].Array[1, 5], Gen.Int[1, 200]).Sample((largest, sizes, most) =>
        {
            int found = ElasticBatchPlan.Choose(largest, sizes, 1, most).WorkerCounts.Count;
            foreach (int size in sizes)
            {
                int batch = largest / size * size;
                Assert.True(found >= Enumerable.Range(1, most).Count(count => sizes.Any(other => batch % (count * other) == 0)));
            }
        });
    }

    [Fact]
    public void A_largest_batch_of_10000_with_common_micro_batches_is_divided_by_few_workers_and_by_many()
    {
        ElasticBatchPlan plan = ElasticBatchPlan.Choose(10_000, [8, 12, 16, 17], 32, 1500);

        // 9,792 = 17 x 576 = 12 x 816 = 8 x 1,224 is the number that DeepSpeed's documentation gives for these sizes.
        Assert.Equal(9792, plan.GlobalBatch);
        Assert.Equal(23, plan.WorkerCounts.Count);
        Assert.Equal(new ElasticBatch(9792, 48, 17, 12), plan.For(48));
    }

    [Fact]
    public void A_count_that_cannot_share_the_batch_is_told_those_that_can()
    {
        ElasticBatchPlan plan = ElasticBatchPlan.Choose(12, [2, 3], 1, 6);

        Assert.Equal([1, 2, 3, 4, 6], plan.WorkerCounts);
        ArgumentException failure = Assert.Throws<ArgumentException>(() => plan.For(5));
        Assert.Contains("5 workers can't share a batch of 12 in micro-batches of 2, 3; these can: 1, 2, 3, 4, 6", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0, new[] { 1 }, 1, 1, "the largest batch is 0")]
    [InlineData(8, new int[0], 1, 1, "there are 0 micro-batch sizes")]
    [InlineData(8, new[] { 16 }, 1, 1, "a micro-batch has 16 samples, expected 1 to the largest batch of 8")]
    [InlineData(8, new[] { 0 }, 1, 1, "a micro-batch has 0 samples")]
    [InlineData(8, new[] { 1 }, 0, 1, "the fewest workers are 0")]
    [InlineData(8, new[] { 1 }, 2, 1, "the most workers are 1, expected 2 to")]
    [InlineData(8, new[] { 4 }, 3, 4, "no batch of at most 8 samples can be shared by 3 to 4 workers in micro-batches of 4: 3 workers need at least 12")]
    public void Impossible_input_is_refused_with_the_numbers(int largest, int[] sizes, int least, int most, string message) =>
        Assert.Contains(message, Assert.Throws<ArgumentException>(() => ElasticBatchPlan.Choose(largest, sizes, least, most)).Message, StringComparison.Ordinal);
}
