using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public sealed class GradientBucketsTests
{
    private const int BatchSize = 24;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Replicas_get_the_gradients_of_the_whole_batch_with_the_same_bits(int replicaCount)
    {
        float[] whole = Gradients(0, 1, communicator: null).Gradients;
        float[][] found = new float[replicaCount][];

        ReplicaThreads.Run(replicaCount, (rank, communicator) => found[rank] = Gradients(rank, replicaCount, communicator).Gradients);

        for (int rank = 0; rank < replicaCount; rank++)
        {
            Assert.Equal(found[0], found[rank]);
            Numbers.AssertClose(whole, found[rank]);
        }
    }

    [Fact]
    public void A_bucket_starts_before_backward_has_ended_and_all_start_in_order()
    {
        string[] starts = new string[2];
        ReplicaThreads.Run(2, (rank, communicator) => starts[rank] = Gradients(rank, 2, communicator).Starts);

        // Bucket 0 has fc3's bias alone, 1 fc3's weight and fc2, 2 fc1; of a layer the weight's gradient is complete first.
        Assert.Equal("0 after fc3.bias, 1 after fc2.bias, 2 after fc1.bias", starts[0]);
        Assert.Equal(starts[0], starts[1]);
    }

    [Fact]
    public void A_parameter_without_gradient_on_one_replica_takes_part_with_zeros_and_is_named()
    {
        string[] missing = new string[2];
        float[][] sums = new float[2][];
        ReplicaThreads.Run(2, (rank, communicator) =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            using Mlp model = new(4, 3, 2);
            model.Initialize(device.DefaultStream, 5);
            using GradientStore gradients = new(model.Parameters());
            using GradientBuckets buckets = new(device.DefaultStream, communicator, gradients);
            buckets.Begin();
            // Rank 1 has no samples for this step at all.
            if (rank == 0) Backward(device.DefaultStream, model, gradients, 0, 8, 1);
            missing[rank] = string.Join(" ", buckets.Finish().Select(p => p.Name));
            sums[rank] = Flat(device.DefaultStream, model, gradients);
        });

        Assert.Equal(["", "fc1.weight fc1.bias fc2.weight fc2.bias"], missing);
        Assert.Equal(sums[0], sums[1]);
        Assert.Contains(sums[0], value => value != 0);
    }

    [Fact]
    public void A_step_does_not_begin_in_the_middle_of_another()
    {
        string?[] messages = new string?[2];
        ReplicaThreads.Run(2, (rank, communicator) =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            using Mlp model = Model(device.DefaultStream);
            using GradientStore gradients = new(model.Parameters());
            using GradientBuckets buckets = new(device.DefaultStream, communicator, gradients);
            buckets.Begin();
            Backward(device.DefaultStream, model, gradients, 0, 8, 1);
            messages[rank] = Record.Exception(() => buckets.Begin())?.Message;
            buckets.Finish();
            buckets.Begin();
        });
        Assert.All(messages, message => Assert.Equal("a step begins, but 1 of 1 gradient bucket(s) of the one before are on their way to the other replicas: end each step with Finish; after a pass that threw, no replica can go on", message));
    }

    [Fact]
    public void Backward_passes_before_the_last_send_nothing_and_add_up()
    {
        float[] whole = Gradients(0, 1, communicator: null).Gradients;
        float[][] found = new float[2][];
        int[] calls = new int[2];
        ReplicaThreads.Run(2, (rank, communicator) =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            using Mlp model = Model(device.DefaultStream);
            using GradientStore gradients = new(model.Parameters());
            using GradientBuckets buckets = new(device.DefaultStream, communicator, gradients);
            gradients.Clear();
            const int MicroBatch = BatchSize / 6;
            for (int i = 0; i < 3; i++)
            {
                buckets.Begin(reduces: i == 2);
                Backward(device.DefaultStream, model, gradients, (rank * BatchSize / 2) + (i * MicroBatch), MicroBatch, (float)MicroBatch / BatchSize);
                if (i < 2) Assert.Empty(buckets.Finish());
                if (i == 1) calls[rank] = AllReduces(communicator, rank);
            }
            Assert.Empty(buckets.Finish());
            found[rank] = Flat(device.DefaultStream, model, gradients);
        });

        Assert.Equal([0, 0], calls);
        Assert.Equal(found[0], found[1]);
        Numbers.AssertClose(whole, found[0]);
    }

    [Fact]
    public void Buckets_on_an_opencl_device_pass_through_the_host()
    {
        _ = TestDevices.Get(TestDevice.OpenClPocl);
        float[][] found = new float[2][];
        ReplicaThreads.Run(2, (rank, communicator) =>
        {
            // A device each: OpenCL's kernel objects take arguments from one thread at a time.
            using ComputeDevice device = DeviceCatalog.Open("opencl:pocl");
            ExecutionStream stream = device.DefaultStream;
            using Mlp model = Model(stream);
            using GradientStore gradients = new(model.Parameters());
            using GradientBuckets buckets = new(stream, communicator, gradients);
            buckets.Begin();
            Backward(stream, model, gradients, rank * BatchSize / 2, BatchSize / 2, 0.5f);
            buckets.Finish();
            found[rank] = Flat(stream, model, gradients);
        });
        Assert.Equal(found[0], found[1]);
        Numbers.AssertClose(Gradients(0, 1, communicator: null).Gradients, found[0]);
    }

    private static (float[] Gradients, string Starts) Gradients(int rank, int replicaCount, ICommunicator? communicator)
    {
        using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
        using Mlp model = Model(device.DefaultStream);
        using GradientStore gradients = new(model.Parameters());
        using GradientBuckets? buckets = communicator is null ? null : new(device.DefaultStream, communicator, gradients, capacity: 700, firstCapacity: 64);
        List<string> starts = [];
        int started = 0;
        // Subscribed behind the buckets: sees what they have started.
        gradients.GradientReady += (parameter, _) =>
        {
            for (; buckets is not null && started < buckets.Buckets.Count && buckets.Buckets[started].IsStarted; started++) starts.Add($"{started} after {parameter.Name}");
        };
        buckets?.Begin();
        int share = BatchSize / replicaCount;
        Backward(device.DefaultStream, model, gradients, rank * share, share, (float)share / BatchSize);
        if (buckets is not null) Assert.Empty(buckets.Finish());
        return (Flat(device.DefaultStream, model, gradients), string.Join(", ", starts));
    }

    private static Mlp Model(ExecutionStream stream)
    {
        Mlp model = new(16, 8, 12, 4);
        model.Initialize(stream, 3);
        return model;
    }

    private static void Backward(ExecutionStream stream, Mlp model, GradientStore gradients, int first, int count, float scale)
    {
        float[] all = Numbers.Uniform(new Shape(BatchSize, model.Parameters()[0].Shape[1]), 9);
        int width = model.Parameters()[0].Shape[1], classes = model.Parameters()[^1].Shape[0];
        using Tensor inputs = Tensor.From(stream, all.AsSpan(first * width, count * width), new Shape(count, width));
        using Tensor labels = Tensor.From(stream, Enumerable.Range(first, count).Select(i => i % classes).ToArray(), new Shape(count));
        using GradientTape tape = new(stream);
        tape.Backward(Losses.CrossEntropy(model.Forward(tape.Input(inputs)), labels), gradients, scale);
    }

    private static float[] Flat(ExecutionStream stream, Module model, GradientStore gradients) =>
        [.. model.Parameters().SelectMany(parameter => gradients.Of(parameter)!.ToArray<float>(stream))];

    private static int AllReduces(ICommunicator communicator, int rank) => communicator.FlightRecords(rank).Count(record => record.Call.Verb == CollectiveVerb.AllReduce);
}
