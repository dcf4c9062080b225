using CsCheck;

namespace DistTrain.Collectives.Tests;

/// <summary>Which gradients go together.</summary>
public sealed class BucketPlanTests
{
    [Fact]
    public void Gradients_are_taken_from_the_last_registered_on_with_a_small_first_bucket()
    {
        // Registered: 640, 320, 64, 128 bytes; reduced from the last on.
        IReadOnlyList<Bucket> buckets = BucketPlan.Create([640, 320, 64, 128], capacity: 512, firstCapacity: 128);
        Assert.Equal([new Bucket(0, 1, 128), new Bucket(1, 2, 384), new Bucket(3, 1, 640)], buckets);
    }

    [Fact]
    public void Gradients_are_padded_to_the_alignment() => Assert.Equal([new Bucket(0, 3, 192)], BucketPlan.Create([1, 64, 33], alignment: 64));

    [Fact]
    public void Every_gradient_is_in_one_bucket_and_none_is_too_full_whatever_the_sizes() =>
        Gen.Select(Gen.Long[0, 5000].List[0, 60], Gen.Long[1, 20_000], Gen.Long[1, 5000]).Sample((sizes, capacity, first) =>
        {
            IReadOnlyList<Bucket> buckets = BucketPlan.Create(sizes, capacity, first);
            Assert.Equal(sizes.Count, buckets.Sum(b => b.Count));
            Assert.Equal(sizes.Sum(s => (s + 63) / 64 * 64), buckets.Sum(b => b.ByteCount));
            int next = 0;
            foreach (Bucket bucket in buckets)
            {
                Assert.Equal(next, bucket.First);
                Assert.True(bucket.Count == 1 || bucket.ByteCount <= (next == 0 ? Math.Min(first, capacity) : capacity));
                next += bucket.Count;
            }
        });

    [Fact]
    public void No_gradients_make_no_buckets() => Assert.Empty(BucketPlan.Create([]));
}
