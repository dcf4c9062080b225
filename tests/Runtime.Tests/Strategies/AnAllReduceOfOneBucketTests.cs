using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>The second walk of docs/architecture.md, station by station.</summary>
public sealed class AnAllReduceOfOneBucketTests
{
    [Theory]
    [InlineData("shm")]
    [InlineData("inprocess")]
    public void An_all_reduce_of_one_bucket(string transport)
    {
        if (transport == "shm" && !ShimLibrary.IsTransportAvailable("shm", out string problem)) Assert.Skip(problem);
        const int World = 3;
        CommunicatorOptions options = new() { Algorithm = AllReduceAlgorithm.Ring, Timeout = TimeSpan.FromSeconds(60) };
        Action<int, Action<int, ICommunicator>, CommunicatorOptions> run = transport == "shm" ? ReplicaThreads.RunOverSharedMemory : ReplicaThreads.Run;
        run(World, (rank, communicator) =>
        {
            Assert.Equal(transport, communicator.Transport);
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            ExecutionStream stream = device.DefaultStream;
            using Linear layer = new(8, 4);
            layer.Initialize(stream, 1);
            using GradientStore gradients = new(layer.Parameters());
            using GradientBuckets buckets = new(stream, communicator, gradients);

            // 1: the layer's two gradients lie in one bucket, in memory that the communicator registered.
            GradientBucket bucket = Assert.Single(buckets.Buckets);
            Assert.Equal(["bias", "weight"], bucket.Parameters.Select(parameter => parameter.Name));
            Assert.Equal((64 + (32 * 4)) / sizeof(float), bucket.Memory.ElementCount);

            // 2: with the last gradient of the bucket its reduction starts; backward goes on.
            buckets.Begin();
            using Tensor inputs = Tensor.From(stream, Enumerable.Repeat(1f + rank, 16).ToArray(), new Shape(2, 8));
            using Tensor target = Tensor.Zeros(stream, new Shape(2, 4));
            using GradientTape tape = new(stream);
            Variable output = layer.Forward(tape.Input(inputs));
            using Tensor ones = Tensor.From(stream, Enumerable.Repeat(1f, 8).ToArray(), new Shape(2, 4));
            tape.Backward(output, ones, gradients);
            Assert.True(bucket.IsStarted);

            // 3 to 5: n - 1 steps of the ring receive and reduce a chunk each, n - 1 more hand the finished chunks on.
            buckets.Finish();
            FlightRecord[] messages = [.. communicator.FlightRecords(rank).Where(record => record.Call.Verb is CollectiveVerb.Send or CollectiveVerb.Receive or CollectiveVerb.ReceiveReduce)];
            Assert.Equal(1 + RingPlan.StepCount(World), messages.Length);
            Assert.All(messages, message => Assert.Equal(FlightState.Done, message.State));
            Assert.Equal((rank + 1) % World, messages[1].Call.Root);

            // 6: every replica has the sum: each output's gradient is 1 for two samples of inputs 1, 2 and 3.
            Assert.All(gradients.Of(layer.Parameters()[0])!.ToArray<float>(stream), value => Assert.Equal(2 * (1 + 2 + 3), value));
            Assert.All(gradients.Of(layer.Parameters()[1])!.ToArray<float>(stream), value => Assert.Equal(2 * World, value));
        }, options);
    }
}
