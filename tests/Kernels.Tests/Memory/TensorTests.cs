using System.Runtime.InteropServices;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class TensorTests(TestDevice which) : OperationTests(which)
{
    [Fact]
    public void A_two_dimensional_span_shows_rows_and_columns_of_the_same_memory()
    {
        using CpuDevice device = new("cpu", InstructionSets.Best, 1);
        using Tensor tensor = Tensor.From(device.DefaultStream, new[] { 1f, 2f, 3f, 4f, 5f, 6f }, new Shape(1, 2, 3));

        CommunityToolkit.HighPerformance.Span2D<float> rows = tensor.AsSpan2D<float>();
        rows[1, 2] = 60f;

        Assert.Equal((2, 3), (rows.Height, rows.Width));
        Assert.Equal([4f, 5f, 60f], rows.GetRow(1).ToArray());
        Assert.Equal(60f, tensor.AsSpan<float>()[5]);
    }

    [Fact]
    public void Elements_travel_to_the_device_and_back_in_every_dtype()
    {
        Assert.Equal([1.5f, -2f], Make(new Shape(2), 1.5f, -2f).ToArray<float>(Stream));
        Assert.Equal([1, int.MinValue, 3], Make(new Shape(3), 1, int.MinValue, 3).ToArray<int>(Stream));
        Assert.Equal([(Half)0.5f], Make(new Shape(1), (Half)0.5f).ToArray<Half>(Stream));
        Assert.Equal([(ushort)0x3F80, (ushort)1, (ushort)2], Make<ushort>(new Shape(3), 0x3F80, 1, 2).ToArray<ushort>(Stream));
        Assert.Empty(Make<float>(new Shape(0, 3)).ToArray<float>(Stream));
    }

    [Fact]
    public void Zeros_are_zero_in_reused_memory_too()
    {
        Make(new Shape(100), [.. Enumerable.Repeat(7f, 100)]).Dispose();
        Assert.All(Read(Zeros(new Shape(100))), x => Assert.Equal(0f, x));
    }

    [Fact]
    public void A_slice_is_a_window_on_the_same_memory()
    {
        Tensor whole = Make(new Shape(4, 3), [.. Enumerable.Range(0, 12).Select(i => (float)i)]);
        Tensor middle = Track(whole.Slice(1, 2));

        Assert.Equal([3f, 4f, 5f, 6f, 7f, 8f], Read(middle));
        middle.Clear(Stream);
        Track(Track(whole.Slice(3, 1)).Reshape(new Shape(3))).CopyFrom<float>(Stream, [30f, 31f, 32f]);
        Assert.Equal([0f, 1f, 2f, 0f, 0f, 0f, 0f, 0f, 0f, 30f, 31f, 32f], Read(whole));
        Assert.Equal(0, Track(whole.Slice(4, 0)).ElementCount);
    }

    [Fact]
    public void Operations_work_on_slices()
    {
        Tensor whole = Make(new Shape(3, 2), 1f, 2f, 3f, 4f, 5f, 6f);
        Elementwise.Add(Stream, Track(whole.Slice(1, 1)), Track(whole.Slice(0, 1)), Track(whole.Slice(2, 1)));
        Assert.Equal([1f, 2f, 6f, 8f, 5f, 6f], Read(whole));
    }

    [Fact]
    public void Memory_lives_until_its_last_view_is_gone()
    {
        int before = Device.Pool.RentedCount;
        Tensor whole = Tensor.From(Stream, new[] { 1f, 2f }, new Shape(2));
        Tensor view = whole.Reshape(new Shape(1, 2)), shared = whole.Share();
        whole.Dispose();
        Assert.Equal([1f, 2f], Read(view));
        view.Dispose();
        Assert.Equal(before + 1, Device.Pool.RentedCount);
        shared.Dispose();
        shared.Dispose();
        Assert.Equal(before, Device.Pool.RentedCount);
    }

    [Fact]
    public void Copies_reach_tensors_of_the_same_and_of_other_devices()
    {
        float[] numbers = Numbers.Uniform(new Shape(5, 7), 1);
        Tensor source = Make(new Shape(5, 7), numbers), window = Track(source.Slice(2, 2));
        Tensor here = Output(new Shape(2, 7));
        window.CopyTo(Stream, here);
        Assert.Equal(numbers[14..28], Read(here));
        foreach (TestDevice other in new[] { TestDevice.Vector128, TestDevice.OpenClPocl, TestDevice.Emulator })
        {
            if (other == TestDevice.OpenClPocl && !HasPocl()) continue;
            ComputeDevice device = TestDevices.Get(other);
            using Tensor there = Tensor.Zeros(device.DefaultStream, new Shape(2, 7));
            window.CopyTo(Stream, there);
            Assert.Equal(numbers[14..28], there.ToArray<float>(device.DefaultStream));
        }
    }

    [Fact]
    public void A_large_copy_between_devices_arrives_whole()
    {
        int count = IsTiny ? 100_003 : 6_000_011;
        int[] numbers = [.. Enumerable.Range(0, count)];
        Tensor source = Make(new Shape(count), numbers);
        ComputeDevice device = TestDevices.Get(TestDevice.Emulator);
        using Tensor there = Tensor.Zeros(device.DefaultStream, new Shape(count), DType.I32);

        source.CopyTo(Stream, there, stagingByteCount: 1 << 16);

        Assert.Equal(numbers, there.ToArray<int>(device.DefaultStream));
    }

    [Fact]
    public void Wrong_use_is_refused_exactly_and_leaks_nothing()
    {
        int before = Device.Pool.RentedCount;
        Tensor tensor = Zeros(new Shape(2, 3));
        Assert.Equal("reshape: [2, 3] has 6 elements, [4] has 4; they must be equal", Assert.Throws<ShapeException>(() => tensor.Reshape(new Shape(4))).Message);
        Assert.Equal("slice: entries 1 to 3 do not lie in [2, 3]", Assert.Throws<ShapeException>(() => tensor.Slice(1, 2)).Message);
        Assert.Throws<ShapeException>(() => tensor.Slice(-1, 1));
        Assert.Throws<ShapeException>(() => tensor.Slice(int.MaxValue, int.MaxValue));
        Assert.Equal("copy from host: the tensor [2, 3] has 6 elements, the host span 2", Assert.Throws<ArgumentException>(() => tensor.CopyFrom<float>(Stream, [1f, 2f])).Message);
        Assert.Equal("copy to host: the tensor is F32, the host elements are Int32", Assert.Throws<ArgumentException>(() => tensor.ToArray<int>(Stream)).Message);
        Assert.Equal("copy: source F32 [2, 3], destination F32 [3, 2]; they must be equal", Assert.Throws<ShapeException>(() => tensor.CopyTo(Stream, Zeros(new Shape(3, 2)))).Message);
        Assert.Throws<ArgumentException>(() => Tensor.From(Stream, new[] { 1f }, new Shape(2)));
        Assert.Equal(before + 2, Device.Pool.RentedCount);
        using CpuDevice other = new("other", InstructionSet.Reference, 1);
        Assert.Equal($"the tensor [2, 3] lies on {Device.Name}, the stream belongs to other",
            Assert.Throws<ArgumentException>(() => tensor.Clear(other.DefaultStream)).Message);
    }

    [Fact]
    public void A_disposed_tensor_says_so()
    {
        Tensor tensor = Tensor.Zeros(Stream, new Shape(2));
        Assert.Equal($"F32 [2] on {Device.Name}", tensor.ToString());
        tensor.Dispose();
        Assert.True(tensor.IsDisposed);
        Assert.Equal("F32 [2] (disposed)", tensor.ToString());
        Assert.Contains("Tensor [2]", Assert.Throws<ObjectDisposedException>(() => tensor.Reshape(new Shape(2))).Message, StringComparison.Ordinal);
        Assert.Throws<ObjectDisposedException>(() => Elementwise.Add(Stream, tensor, tensor, tensor));
    }

    [Fact]
    public void Memory_used_by_another_stream_is_reused_only_after_its_work()
    {
        ExecutionStream other = Device.CreateStream();
        Tensor ones = Make(new Shape(1000), [.. Enumerable.Repeat(1f, 1000)]), output = Output(new Shape(1000)), sum = Output(new Shape(1000));
        Tensor input = Tensor.From(Stream, Read(ones), new Shape(1000));
        Stream.Synchronize();
        for (int i = 0; i < 20; i++) Elementwise.Add(other, output, input, ones);
        input.Buffer.RecordUse(other);
        input.Dispose();
        // The default stream gets the same memory and overwrites it.
        Tensor reused = Zeros(new Shape(1000));
        Elementwise.Add(Stream, sum, reused, ones);
        other.Synchronize();
        Assert.All(Read(output), x => Assert.Equal(2f, x));
        Assert.All(Read(sum), x => Assert.Equal(1f, x));

        // A stream that is gone has no work left to wait for.
        Tensor late = Tensor.Zeros(Stream, new Shape(1000));
        late.Buffer.RecordUse(other);
        other.Dispose();
        late.Dispose();
    }

    [Fact]
    public void A_tensor_may_outlive_the_stream_that_it_was_made_on()
    {
        ExecutionStream other = Device.CreateStream();
        Tensor tensor = Tensor.From(other, new[] { 1f, 2f }, new Shape(2));
        other.Dispose();
        Assert.Equal([1f, 2f], Read(tensor));
        tensor.Dispose();
        Device.Pool.Trim();
    }

    private static bool HasPocl() => DeviceCatalog.List().Any(device => device is { Name: "opencl:pocl", Unusable: null });
}

public sealed class TensorsOnVector128() : TensorTests(TestDevice.Vector128);
public sealed class TensorsOnPocl() : TensorTests(TestDevice.OpenClPocl);
public sealed class TensorsOnEmulator() : TensorTests(TestDevice.Emulator);
public sealed class TensorsOnCuda() : TensorTests(TestDevice.Cuda);

public sealed unsafe class ExternalMemoryTests : IDisposable
{
    private readonly CpuDevice _cpu = new("cpu", InstructionSet.Vector128, 1);

    public void Dispose() => _cpu.Dispose();

    [Fact]
    public void Wrapped_memory_is_used_in_place_and_released_once_with_its_last_tensor()
    {
        float* memory = (float*)NativeMemory.AlignedAlloc(64, 64);
        int released = 0;
        DeviceBuffer buffer = DeviceBuffer.Wrap(_cpu, (nint)memory, 64, () => released++);
        Tensor whole = new(buffer, new Shape(16)), second = new(buffer, new Shape(4), DType.F32, 16);
        whole.Clear(_cpu.DefaultStream);
        second.CopyFrom<float>(_cpu.DefaultStream, [1f, 2f, 3f, 4f]);

        Assert.Equal((0f, 1f, 4f, 0f), (memory[3], memory[4], memory[7], memory[8]));
        Assert.Equal((0, 0L), (_cpu.Pool.RentedCount, _cpu.Pool.RentedByteCount));
        whole.Dispose();
        whole.Dispose();
        Assert.Equal(0, released);
        second.Dispose();
        second.Dispose();
        Assert.Equal(1, released);
        Assert.Equal(0, _cpu.Pool.CachedByteCount);
        NativeMemory.AlignedFree(memory);
    }

    [Fact]
    public void A_tensor_must_lie_in_its_buffer_and_on_its_elements()
    {
        DeviceBuffer buffer = DeviceBuffer.Wrap(_cpu, 64, 10);
        Assert.Equal("a F32 tensor [3] at byte 0 needs 12 bytes, the buffer has 10", Assert.Throws<ArgumentException>(() => new Tensor(buffer, new Shape(3))).Message);
        Assert.Equal("offset 2 is not a multiple of the 4 bytes of F32", Assert.Throws<ArgumentException>(() => new Tensor(buffer, new Shape(1), DType.F32, 2)).Message);
        Assert.Throws<ArgumentException>(() => new Tensor(buffer, new Shape(1), DType.F32, 8));
        Assert.Throws<ArgumentException>(() => DeviceBuffer.Wrap(_cpu, 0, 10));
        Assert.Throws<ArgumentOutOfRangeException>(() => DeviceBuffer.Wrap(_cpu, 64, -1));
    }

    [Fact]
    public void A_device_without_addresses_says_so()
    {
        ComputeDevice emulator = TestDevices.Get(TestDevice.Emulator);
        Assert.Equal("ilgpu-cpu (Emulator) can't wrap memory owned elsewhere; CPU and CUDA devices can",
            Assert.Throws<NotSupportedException>(() => DeviceBuffer.Wrap(emulator, 64, 64)).Message);
    }
}
