using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>Where a cache is advised, from sizes and times.</summary>
public sealed class CacheAdviceTests
{
    private static readonly CachePlace s_read = new("Interleave", false, 1000, 2 << 20, 0.010), s_decode = new("Map", false, 1000, 20 << 20, 0.030),
        s_augment = new("Map", true, 1000, 20 << 20, 0.020);

    [Fact]
    public void The_last_place_that_fits_memory_saves_most_work() => Assert.Equal(
        "in memory behind Map (1000 elements of 20.0 MiB, 19.5 GiB): it would save 40.0 ms of work an element after the first epoch", CacheAdvice.Give([s_read, s_decode], 30e9, 0));

    [Fact]
    public void Decoded_elements_that_are_too_large_go_to_disk_or_the_cache_stands_before_the_map()
    {
        Assert.StartsWith("in memory behind Interleave (1000 elements of 2.0 MiB, 2.0 GiB)", CacheAdvice.Give([s_read, s_decode], 3e9, 0));
        Assert.StartsWith("in memory behind Interleave", CacheAdvice.Give([s_read, s_decode with { Time = 0.001 }], 3e9, 100e9));
        Assert.StartsWith("on disk behind Map", CacheAdvice.Give([s_read, s_decode with { Time = 0.200 }], 1e9, 100e9));
    }

    [Fact]
    public void No_cache_is_advised_behind_random_numbers()
    {
        Assert.StartsWith("in memory behind Interleave", CacheAdvice.Give([s_read, s_augment], 30e9, 0));
        Assert.Equal("none: Map, the first stage, gives other elements each epoch", CacheAdvice.Give([s_augment, s_decode], 30e9, 0));
    }

    [Fact]
    public void Without_places_sizes_or_room_it_says_so()
    {
        Assert.Equal("no background stage to judge by", CacheAdvice.Give([], 1, 1));
        Assert.Equal("none yet: the number of elements of an epoch is not known (AssertCardinality tells it)", CacheAdvice.Give([s_read with { Elements = 0 }], 1e12, 0));
        Assert.Equal("none: no place is small enough for what it would save", CacheAdvice.Give([s_read], 1e6, 1e6));
    }
}
