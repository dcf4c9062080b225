using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class HostMemoryTests(TestDevice which) : OperationTests(which)
{
    [Fact]
    public unsafe void A_device_copies_from_it_without_waiting()
    {
        int count = IsTiny ? 100 : 300_000;
        using HostMemory memory = HostMemory.Allocate(Device, count * 4L);
        Span<float> host = new((void*)memory.Address, count);
        for (int i = 0; i < count; i++) host[i] = i;
        using ExecutionStream copies = Device.CreateStream();
        Tensor tensor = Zeros(new Shape(count)), sum = Zeros(new Shape(count));
        Stream.Synchronize();

        tensor.CopyFromAsync(copies, memory.Address);
        Stream.Wait(copies.Record());
        Elementwise.Add(Stream, sum, tensor, tensor);

        Assert.Equal(Enumerable.Range(0, count).Select(i => 2f * i), Read(sum));
    }

    [Fact]
    public void It_is_aligned_to_pages_locked_on_cuda_and_gone_once_disposed()
    {
        HostMemory memory = HostMemory.Allocate(Device, 5000);

        Assert.Equal((0, 5000L, Device.Kind == DeviceKind.Cuda), ((int)(memory.Address % 4096), memory.ByteCount, memory.IsPageLocked));
        memory.Dispose();
        memory.Dispose();
        Assert.Throws<ObjectDisposedException>(() => memory.Address);
    }

    [Fact]
    public void A_null_address_is_refused() => Assert.Throws<ArgumentException>(() => Zeros(new Shape(3)).CopyFromAsync(Stream, 0));
}

public sealed class HostMemoryOnVector128() : HostMemoryTests(TestDevice.Vector128);
public sealed class HostMemoryOnPocl() : HostMemoryTests(TestDevice.OpenClPocl);
public sealed class HostMemoryOnEmulator() : HostMemoryTests(TestDevice.Emulator);
public sealed class HostMemoryOnCuda() : HostMemoryTests(TestDevice.Cuda);
