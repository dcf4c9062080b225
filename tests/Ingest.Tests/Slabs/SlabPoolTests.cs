using System.Runtime.CompilerServices;

namespace DistTrain.Ingest.Tests;

public sealed class SlabPoolTests
{
    [Fact]
    public void A_slab_comes_back_with_its_last_lease_and_is_lent_again()
    {
        using SlabPool pool = new(1 << 24);
        Slab slab = pool.Rent(100_000);
        Assert.Equal(1 << 17, slab.ByteCount);
        slab.Lease(2);
        slab.Release();
        slab.Release();
        Assert.Equal(1, pool.OutstandingCount);
        slab.Release();
        Assert.Equal(0, pool.OutstandingCount);

        Assert.Same(slab, pool.Rent(1 << 17));
        Assert.Equal(1, pool.MadeCount);
    }

    [Fact]
    public void Slabs_begin_on_a_page_and_lie_still()
    {
        using SlabPool pool = new(1 << 24);
        Slab slab = pool.Rent(1);
        unsafe
        {
            fixed (byte* first = slab.Span) Assert.Equal(0, (nint)first % 4096);
        }
        Assert.Equal(SlabPool.SmallestByteCount, slab.Span.Length);
        slab.Release();
    }

    [Fact]
    public void Beyond_the_bound_slabs_are_made_for_one_use_and_never_waited_for()
    {
        using SlabPool pool = new(3 << 16);
        Slab[] lent = [.. Enumerable.Range(0, 5).Select(_ => pool.Rent(1))];
        Assert.Equal(2, pool.OverflowCount);
        Assert.Equal(3 << 16, pool.PooledByteCount);
        foreach (Slab slab in lent) slab.Release();
        Assert.Equal(0, pool.OutstandingCount);
        Assert.Equal(3 << 16, pool.PooledByteCount);

        Slab[] again = [.. Enumerable.Range(0, 3).Select(_ => pool.Rent(1))];
        Assert.Equal(5, pool.MadeCount);
        foreach (Slab slab in again) slab.Release();
    }

    [Fact]
    public void Idle_slabs_of_one_size_make_room_for_another()
    {
        using SlabPool pool = new(1 << 18);
        Slab[] small = [.. Enumerable.Range(0, 4).Select(_ => pool.Rent(1))];
        foreach (Slab slab in small) slab.Release();
        Slab large = pool.Rent(1 << 18);
        Assert.True(large.IsPooled);
        Assert.Equal(1 << 18, pool.PooledByteCount);
        large.Release();
    }

    [Fact]
    public void After_the_pipeline_has_ended_records_stay_good_and_their_slabs_are_dropped()
    {
        SlabPool pool = new(1 << 24);
        Slab slab = pool.Rent(1);
        slab.Span.Fill(7);
        Record record = new(slab, slab.Origin, 3, null, 0, 0);
        pool.Dispose();
        Assert.Equal([7, 7, 7], record.Span.ToArray());
        record.Dispose();
        Assert.Equal(0, pool.OutstandingCount);
        Assert.NotSame(slab, pool.Rent(1));
    }

    [Fact]
    public void Records_that_are_never_disposed_fall_to_the_garbage_collector_and_leave_the_bound()
    {
        using SlabPool pool = new(1 << 16);
        Forget(pool);
        for (int i = 0; i < 100 && pool.PooledByteCount > 0; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
        Assert.Equal(0, pool.PooledByteCount);
        // They were not given back, and tests that count leases must see that.
        Assert.Equal(1, pool.OutstandingCount);
    }

    [Fact]
    public void A_record_disposed_twice_is_found_out()
    {
        using SlabPool pool = new(1 << 16);
        Slab slab = pool.Rent(1);
        Record record = new(slab, slab.Origin, 3, null, 0, 0);
        record.Dispose();
        Assert.Contains("a record was disposed twice", Assert.Throws<InvalidOperationException>(record.Dispose).Message);
    }

    [Fact]
    public void A_disposed_record_gives_no_further_lease()
    {
        using SlabPool pool = new(1 << 16);
        Slab slab = pool.Rent(1);
        Record record = new(slab, slab.Origin, 3, null, 0, 0);
        record.Dispose();
        Assert.Throws<ObjectDisposedException>(() => record.Retain());
        Assert.Equal(0, slab.LeaseCount);
    }

    [Fact]
    public void Many_threads_lend_and_return_without_losing_a_lease()
    {
        using SlabPool pool = new(1 << 18);
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(t => new Thread(() =>
        {
            Random random = new(t);
            for (int i = 0; i < 2000; i++)
            {
                Slab slab = pool.Rent(random.Next(1 << 17));
                slab.Lease();
                slab.Release();
                slab.Release();
            }
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        Assert.Equal(0, pool.OutstandingCount);
        Assert.InRange(pool.PooledByteCount, 1, 1 << 18);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Forget(SlabPool pool) => _ = new Record(pool.Rent(1), 0, 1, null, 0, 0);
}
