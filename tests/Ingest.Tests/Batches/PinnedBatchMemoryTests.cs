using CsCheck;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

public sealed class PinnedBatchMemoryTests
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(257)]
    [InlineData(1 << 20)]
    public void Buffers_are_aligned_and_hold_what_was_asked_for(int byteCount)
    {
        using PinnedBatchMemory memory = new();
        using BatchBuffer buffer = memory.Rent(byteCount);

        Assert.Equal(byteCount, buffer.ByteCount);
        Assert.Equal(byteCount, buffer.AsSpan().Length);
        Assert.Equal(0, buffer.Address % 64);
    }

    [Fact]
    public void What_comes_back_is_given_out_again()
    {
        using PinnedBatchMemory memory = new();
        nint first;
        using (BatchBuffer buffer = memory.Rent(10_000)) first = buffer.Address;
        using BatchBuffer again = memory.Rent(10_100);

        Assert.Equal(first, again.Address);
        Assert.Equal((1, 10_240L, 0L, 1L), (memory.RentedCount, memory.RentedByteCount, memory.CachedByteCount, memory.AllocationCount));
    }

    [Fact]
    public void Giving_a_buffer_back_twice_gives_it_back_once()
    {
        using PinnedBatchMemory memory = new();
        BatchBuffer buffer = memory.Rent(100);
        buffer.Dispose();
        using BatchBuffer other = memory.Rent(100);
        buffer.Dispose();

        Assert.Equal(1, memory.RentedCount);
        Assert.Throws<ObjectDisposedException>(() => buffer.Address);
        Assert.Throws<ObjectDisposedException>(() => buffer.AsSpan().Length);
    }

    [Fact]
    public void A_part_that_does_not_lie_in_the_buffer_is_refused()
    {
        using PinnedBatchMemory memory = new();
        using BatchBuffer buffer = memory.Rent(100);

        Assert.Equal(40, buffer.AsSpan(60, 40).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.AsSpan(60, 41).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.AsSpan(-1, 4).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => buffer.AsSpan(long.MaxValue, 4).Length);
    }

    [Fact]
    public void A_loan_beyond_the_limit_is_refused_until_something_comes_back()
    {
        using PinnedBatchMemory memory = new(byteLimit: 5_000);
        BatchBuffer first = memory.Rent(4_000);

        BatchMemoryException failure = Assert.Throws<BatchMemoryException>(() => memory.Rent(2_000));
        first.Dispose();
        using BatchBuffer second = memory.Rent(2_000);

        Assert.Equal("batch memory is limited to 5,000 bytes: 4,096 are lent in 1 buffers, another 2,048 were asked for; dispose batches sooner, buffer fewer, or raise the limit", failure.Message);
    }

    [Fact]
    public void More_than_an_array_holds_is_refused()
    {
        using PinnedBatchMemory memory = new();
        Assert.Contains("does not fit one array", Assert.Throws<BatchMemoryException>(() => memory.Rent(1L << 31)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void No_more_is_kept_than_the_limit_says()
    {
        using PinnedBatchMemory memory = new(cachedByteLimit: 1_000);
        BatchBuffer[] buffers = [.. Enumerable.Range(0, 5).Select(_ => memory.Rent(300))];
        foreach (BatchBuffer buffer in buffers) buffer.Dispose();

        Assert.Equal((0, 960L), (memory.RentedCount, memory.CachedByteCount));
    }

    [Fact]
    public void After_its_end_memory_is_refused_and_what_comes_back_is_not_kept()
    {
        PinnedBatchMemory memory = new();
        BatchBuffer buffer = memory.Rent(100);
        memory.Dispose();
        buffer.Dispose();

        Assert.Equal((0, 0L), (memory.RentedCount, memory.CachedByteCount));
        Assert.Throws<ObjectDisposedException>(() => memory.Rent(1));
    }

    [Fact]
    public void A_size_class_holds_its_sizes_and_wastes_at_most_a_quarter() => Gen.Int[256, int.MaxValue - 200].Sample(byteCount =>
    {
        long rounded = PinnedBatchMemory.SizeClassOf(byteCount);
        return rounded >= byteCount && rounded <= byteCount * 1.25 && PinnedBatchMemory.SizeClassOf(rounded) == rounded;
    });

    [Fact]
    public void Threads_share_it()
    {
        using PinnedBatchMemory memory = new();
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(number => new Thread(() =>
        {
            for (int i = 0; i < 2_000; i++)
            {
                using BatchBuffer buffer = memory.Rent(300 + (100 * (i % 5)));
                buffer.AsSpan().Fill((byte)number);
                if (buffer.AsSpan().ContainsAnyExcept((byte)number)) throw new InvalidOperationException("shared");
            }
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();

        Assert.Equal((0, 0L), (memory.RentedCount, memory.RentedByteCount));
        Assert.InRange(memory.AllocationCount, 1, 20);
    }
}
