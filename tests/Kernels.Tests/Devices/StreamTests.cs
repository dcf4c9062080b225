using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class StreamTests(TestDevice which) : OperationTests(which)
{
    [Fact]
    public void One_stream_waits_for_a_point_of_another()
    {
        using ExecutionStream producer = Device.CreateStream(), consumer = Device.CreateStream();
        Shape shape = new(IsTiny ? 64 : 100_000);
        Tensor ones = Make(shape, [.. Enumerable.Repeat(1f, (int)shape.ElementCount)]), sum = Zeros(shape), copy = Output(shape);
        Stream.Synchronize();
        for (int i = 0; i < 10; i++) Elementwise.Add(producer, sum, sum, ones);

        consumer.Wait(producer.Record());
        Elementwise.Add(consumer, copy, sum, ones);
        consumer.Synchronize();

        Assert.All(Read(copy), x => Assert.Equal(11f, x));
        producer.Synchronize();
    }

    [Fact]
    public void An_event_is_completed_once_its_work_is_done()
    {
        Tensor tensor = Zeros(new Shape(100));
        Elementwise.Add(Stream, tensor, tensor, tensor);

        StreamEvent point = Stream.Record();
        point.Synchronize();

        Assert.True(point.IsCompleted);
        Stream.Wait(point);
        Stream.Synchronize();
    }

    [Fact]
    public void Streams_of_different_devices_wait_for_each_other_through_the_host()
    {
        ComputeDevice other = TestDevices.Get(TestDevice.Vector128);

        other.DefaultStream.Wait(Stream.Record());
        Stream.Wait(other.DefaultStream.Record());
        Stream.Synchronize();
    }

    [Fact]
    public void A_stream_is_disposed_once_and_the_default_one_stays()
    {
        ExecutionStream stream = Device.CreateStream();
        Assert.Same(Device, stream.Device);
        stream.Dispose();
        stream.Dispose();
        Assert.True(stream.IsDisposed);
        Device.DefaultStream.Dispose();
        Assert.False(Device.DefaultStream.IsDisposed);
        Assert.Equal([0f], Read(Zeros(new Shape(1))));
    }
}

public sealed class StreamsOnVector128() : StreamTests(TestDevice.Vector128);
public sealed class StreamsOnPocl() : StreamTests(TestDevice.OpenClPocl);
public sealed class StreamsOnEmulator() : StreamTests(TestDevice.Emulator);
public sealed class StreamsOnCuda() : StreamTests(TestDevice.Cuda);
