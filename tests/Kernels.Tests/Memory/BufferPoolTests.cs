using CsCheck;

namespace DistTrain.Kernels.Tests;

public sealed class BufferPoolTests : IDisposable
{
    private readonly CpuDevice _cpu = new("cpu", InstructionSet.Vector128, 1);

    public void Dispose() => _cpu.Dispose();

    [Fact]
    public void A_returned_buffer_is_given_out_again_to_the_same_stream()
    {
        Tensor first = Tensor.Allocate(_cpu.DefaultStream, new Shape(1000));
        nint place = first.Pointer;
        first.Dispose();

        using Tensor second = Tensor.Allocate(_cpu.DefaultStream, new Shape(990));

        Assert.Equal(place, second.Pointer);
        Assert.Equal(1, _cpu.Pool.AllocationCount);
    }

    [Fact]
    public void Another_stream_gets_other_memory()
    {
        using ExecutionStream other = _cpu.CreateStream();
        Tensor first = Tensor.Allocate(_cpu.DefaultStream, new Shape(1000));
        nint place = first.Pointer;
        first.Dispose();

        using Tensor second = Tensor.Allocate(other, new Shape(1000));

        Assert.NotEqual(place, second.Pointer);
    }

    [Fact]
    public void What_a_disposed_stream_kept_serves_the_default_stream()
    {
        ExecutionStream other = _cpu.CreateStream();
        Tensor early = Tensor.Allocate(other, new Shape(1000)), late = Tensor.Allocate(other, new Shape(1000));
        HashSet<nint> places = [early.Pointer, late.Pointer];
        early.Dispose();
        other.Dispose();
        late.Dispose();

        using Tensor first = Tensor.Allocate(_cpu.DefaultStream, new Shape(1000)), second = Tensor.Allocate(_cpu.DefaultStream, new Shape(1000));

        Assert.Equal(places, [first.Pointer, second.Pointer]);
        Assert.Equal(2, _cpu.Pool.AllocationCount);
    }

    [Fact]
    public void A_steady_state_makes_no_native_allocations()
    {
        void Step()
        {
            using Tensor a = Tensor.Allocate(_cpu.DefaultStream, new Shape(300)), b = Tensor.Allocate(_cpu.DefaultStream, new Shape(5000));
            using Tensor c = Tensor.Allocate(_cpu.DefaultStream, new Shape(300));
        }
        Step();
        long before = _cpu.Pool.AllocationCount;

        for (int i = 0; i < 100; i++) Step();

        Assert.Equal(3, before);
        Assert.Equal(before, _cpu.Pool.AllocationCount);
    }

    [Fact]
    public void At_most_a_quarter_of_a_buffer_is_unused() =>
        Gen.Long[256, 1L << 60].Sample(byteCount =>
        {
            int sizeClass = BufferPool.SizeClassOf(byteCount);
            long granted = BufferPool.ByteCountOf(sizeClass);
            return granted >= byteCount && granted - byteCount < granted / 4 && BufferPool.SizeClassOf(granted) == sizeClass;
        });

    [Fact]
    public void Small_requests_share_the_smallest_class()
    {
        Assert.Equal(256, BufferPool.ByteCountOf(BufferPool.SizeClassOf(0)));
        Assert.Equal(256, BufferPool.ByteCountOf(BufferPool.SizeClassOf(256)));
        Assert.Equal(320, BufferPool.ByteCountOf(BufferPool.SizeClassOf(257)));
    }

    [Fact]
    public void Counts_follow_what_is_rented_and_kept()
    {
        BufferPool pool = _cpu.Pool;
        Tensor a = Tensor.Allocate(_cpu.DefaultStream, new Shape(64)), b = Tensor.Allocate(_cpu.DefaultStream, new Shape(128));
        Assert.Equal((2, 768L, 768L, 0L), (pool.RentedCount, pool.RentedByteCount, pool.PeakRentedByteCount, pool.CachedByteCount));
        b.Dispose();
        b.Dispose();
        Assert.Equal((1, 256L, 768L, 512L), (pool.RentedCount, pool.RentedByteCount, pool.PeakRentedByteCount, pool.CachedByteCount));
        pool.ResetPeak();
        Assert.Equal(256, pool.PeakRentedByteCount);
        pool.Trim();
        Assert.Equal(0, pool.CachedByteCount);
        a.Dispose();
        Assert.Equal((0, 0L), (pool.RentedCount, pool.RentedByteCount));
    }

    [Fact]
    public void Beyond_the_limit_the_pool_trims_and_then_says_what_is_in_use()
    {
        _cpu.Pool.ByteLimit = 4096;
        Tensor.Allocate(_cpu.DefaultStream, new Shape(512)).Dispose();
        Tensor kept = Tensor.Allocate(_cpu.DefaultStream, new Shape(256));
        Assert.Equal((1024L, 2048L), (_cpu.Pool.RentedByteCount, _cpu.Pool.CachedByteCount));

        // 3072 + 1024 fit only without the 2048 bytes that are kept.
        Tensor large = Tensor.Allocate(_cpu.DefaultStream, new Shape(768));
        Assert.Equal((4096L, 0L), (_cpu.Pool.RentedByteCount, _cpu.Pool.CachedByteCount));
        OutOfDeviceMemoryException failure = Assert.Throws<OutOfDeviceMemoryException>(() => Tensor.Allocate(_cpu.DefaultStream, new Shape(1)));

        Assert.Equal("device cpu can't allocate 256 bytes: 4,096 bytes are in use of at most 4,096. Use a smaller batch, or dispose tensors earlier.", failure.Message);
        Assert.Equal(("cpu", 256L, 4096L), (failure.Device, failure.RequestedByteCount, failure.RentedByteCount));
        Assert.Equal(2, _cpu.Pool.RentedCount);
        large.Dispose();
        kept.Dispose();
    }

    [Fact]
    public void More_than_the_machine_has_is_an_error_of_the_same_kind()
    {
        OutOfDeviceMemoryException failure = Assert.Throws<OutOfDeviceMemoryException>(() =>
            Tensor.Allocate(_cpu.DefaultStream, new Shape(int.MaxValue, 1 << 24)));

        Assert.StartsWith("device cpu can't allocate 144,115,188,075,855,872 bytes: 0 bytes are in use of at most ", failure.Message);
        Assert.Equal(0, _cpu.Pool.RentedCount);
    }

    [Fact]
    public void A_disposed_device_rents_nothing_and_takes_buffers_back()
    {
        CpuDevice cpu = new("cpu", InstructionSet.Vector128, 2);
        Tensor living = Tensor.Allocate(cpu.DefaultStream, new Shape(10));
        cpu.Dispose();
        cpu.Dispose();

        Assert.Throws<ObjectDisposedException>(() => Tensor.Allocate(cpu.DefaultStream, new Shape(10)));
        living.Dispose();
        Assert.Equal((0, 0L), (cpu.Pool.RentedCount, cpu.Pool.CachedByteCount));
    }

    [Fact]
    public void Many_threads_share_a_pool()
    {
        Parallel.For(0, 8, thread =>
        {
            for (int i = 1; i < 300; i++)
            {
                using Tensor tensor = Tensor.Allocate(_cpu.DefaultStream, new Shape(i * 17));
                tensor.AsSpan<float>().Fill(thread);
                Assert.DoesNotContain(tensor.AsSpan<float>().ToArray(), x => x != thread);
            }
        });

        Assert.Equal((0, 0L), (_cpu.Pool.RentedCount, _cpu.Pool.RentedByteCount));
    }
}
