using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Collectives.Tests;

/// <summary>Tensors of devices that are no CPUs, over transports that move host memory: every verb passes through page-locked memory and is judged as exactly as on a CPU.</summary>
public sealed class StagedTensorTests
{
    private static readonly int[] s_sizes = [0, 1, 7, 100, 1023, 4097];
    private static readonly CollectiveVerb[] s_verbs = [CollectiveVerb.AllReduce, CollectiveVerb.ReduceScatter, CollectiveVerb.AllGather, CollectiveVerb.Broadcast, CollectiveVerb.Reduce, CollectiveVerb.AllToAll];

    public static TheoryData<string, WorldKind, int, AllReduceAlgorithm?> Worlds
    {
        get
        {
            TheoryData<string, WorldKind, int, AllReduceAlgorithm?> data = [];
            foreach (string device in (string[])["ilgpu-cpu", "opencl:pocl"])
                foreach (WorldKind kind in Enum.GetValues<WorldKind>())
                    foreach (int worldSize in (int[])[1, 2, 3])
                        data.Add(device, kind, worldSize, null);
            foreach (AllReduceAlgorithm algorithm in Enum.GetValues<AllReduceAlgorithm>()) data.Add("opencl:pocl", WorldKind.InProcess, 3, algorithm);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Worlds))]
    public void Every_verb_is_exact_on_tensors_of_other_devices(string name, WorldKind kind, int worldSize, AllReduceAlgorithm? algorithm)
    {
        Run(name, kind, worldSize, new CommunicatorOptions { Algorithm = algorithm, SegmentByteCount = algorithm is null ? 0 : 4096 }, (communicator, device) =>
        {
            // The same choices on every rank; every verb comes several times.
            Random random = new((worldSize * 10) + (int)(algorithm ?? (AllReduceAlgorithm)9));
            for (int trial = 0; trial < 36; trial++)
            {
                CollectiveVerb verb = algorithm is null ? s_verbs[trial % s_verbs.Length] : CollectiveVerb.AllReduce;
                Check(communicator, device, verb, TestValues.Types[random.Next(6)], (ReduceOp)random.Next(5), random.Next(worldSize), s_sizes[random.Next(s_sizes.Length)], isInPlace: random.Next(2) == 0,
                    offset: random.Next(3), isAsync: random.Next(3) == 0);
            }
        });
    }

    [Theory]
    [InlineData("ilgpu-cpu")]
    [InlineData("opencl:pocl")]
    public void Messages_go_between_tensors_of_other_devices_and_keep_their_order(string name)
    {
        Run(name, WorldKind.InProcess, 3, new CommunicatorOptions(), (communicator, device) =>
        {
            int next = (communicator.Rank + 1) % 3, previous = (communicator.Rank + 2) % 3;
            ExecutionStream stream = device.DefaultStream;
            foreach (int size in (int[])[1, 5000])
            {
                using Tensor first = Tensor.From(stream, Filled(size, communicator.Rank + 1f), new Shape(size)), second = Tensor.From(stream, Filled(size, communicator.Rank + 10L), new Shape(size));
                using Tensor a = Tensor.Allocate(stream, new Shape(size)), b = Tensor.From(stream, Filled(size, 100L), new Shape(size));
                communicator.Exchange(stream, PeerTransfer.Send(first, next), PeerTransfer.Send(second, next), PeerTransfer.Receive(a, previous), PeerTransfer.ReceiveReduce(b, previous));
                Assert.Equal(Filled(size, previous + 1f), a.ToArray<float>(stream));
                Assert.Equal(Filled(size, previous + 110L), b.ToArray<long>(stream));
            }
        });
    }

    [Theory]
    [InlineData("ilgpu-cpu")]
    [InlineData("opencl:pocl")]
    public void A_collective_comes_behind_the_work_of_its_stream_and_before_what_is_enqueued_later(string name)
    {
        Run(name, WorldKind.InProcess, 2, new CommunicatorOptions(), (communicator, device) =>
        {
            ExecutionStream stream = device.DefaultStream;
            using Tensor tensor = Tensor.Allocate(stream, new Shape(2000)), copy = Tensor.Allocate(stream, new Shape(2000));
            for (int i = 1; i <= 10; i++)
            {
                tensor.CopyFrom<float>(stream, Filled(2000, (float)(i * (communicator.Rank + 1))));
                // In turn blocking and with a handle.
                if (i % 2 == 0) communicator.AllReduce(stream, tensor);
                else communicator.AllReduceAsync(stream, tensor).Wait();
                tensor.CopyTo(stream, copy);
                tensor.Clear(stream);
                Assert.Equal(Filled(2000, 3f * i), copy.ToArray<float>(stream));
            }
        });
    }

    [Fact]
    public void What_other_devices_can_not_have_is_refused_by_name_and_the_communicator_lives_on()
    {
        Run("ilgpu-cpu", WorldKind.InProcess, 2, new CommunicatorOptions(), (communicator, device) =>
        {
            ExecutionStream stream = device.DefaultStream;
            using CpuDevice cpu = new("cpu", InstructionSet.Vector128, 1);
            using Tensor tensor = Tensor.Zeros(stream, new Shape(10)), low = new(tensor.Buffer, new Shape(5)), overlapping = new(tensor.Buffer, new Shape(5), DType.F32, 8);
            Assert.Contains("registers host memory only, ilgpu-cpu is no CPU device", Assert.Throws<ArgumentException>(() => communicator.Allocate(device, 4096)).Message, StringComparison.Ordinal);
            Assert.Contains("the stream belongs to cpu", Assert.Throws<ArgumentException>(() => communicator.AllReduce(cpu.DefaultStream, tensor)).Message, StringComparison.Ordinal);
            Assert.Contains("overlap", Assert.Throws<ArgumentException>(() => communicator.AllReduce(stream, low, overlapping)).Message, StringComparison.Ordinal);
            communicator.AllReduce(stream, tensor);
            // Nothing is left on the staging thread either: a failure of a started call comes out of its handle.
            communicator.Abort("enough");
            Assert.ThrowsAny<CollectiveException>(() => communicator.AllReduce(stream, tensor));
        }, leavesTogether: false);
    }

    private static void Run(string name, WorldKind kind, int worldSize, CommunicatorOptions options, Action<ICommunicator, ComputeDevice> program, bool leavesTogether = true)
    {
        // Skips where the device is not there.
        _ = TestDevices.Get(name == "ilgpu-cpu" ? TestDevice.Emulator : TestDevice.OpenClPocl);
        if (kind == WorldKind.SharedMemory && !ShimLibrary.TryLoad(out string problem)) Assert.Skip(problem);
        World.Run(kind, worldSize, options with { Timeout = TimeSpan.FromSeconds(60) }, (communicator, _) =>
        {
            // A device each, as replicas have them.
            using ComputeDevice device = DeviceCatalog.Open(name);
            program(communicator, device);
        }, leavesTogether);
    }

    private static void Check(ICommunicator communicator, ComputeDevice device, CollectiveVerb verb, DType dtype, ReduceOp op, int root, int size, bool isInPlace, int offset, bool isAsync)
    {
        int worldSize = communicator.WorldSize, rank = communicator.Rank, elementSize = dtype.ByteSize();
        int sendParts = verb is CollectiveVerb.ReduceScatter or CollectiveVerb.AllToAll ? worldSize : 1, receiveParts = verb is CollectiveVerb.AllGather or CollectiveVerb.AllToAll ? worldSize : 1;
        ExecutionStream stream = device.DefaultStream;
        using CpuDevice host = new("cpu", InstructionSet.Vector128, 1);
        int largestCount = offset + (size * Math.Max(sendParts, receiveParts)) + 8, otherCount = offset + (size * receiveParts) + 8;
        int sendFirst = offset + (isInPlace && verb == CollectiveVerb.AllGather ? rank * size : 0), receiveFirst = offset + (isInPlace && verb == CollectiveVerb.ReduceScatter ? rank * size : 0);
        using Tensor largest = Tensor.Allocate(stream, new Shape(largestCount), dtype), other = Tensor.Allocate(stream, new Shape(otherCount), dtype);
        double[] before = Filled(largestCount, 77.0);
        for (int i = 0; i < size * sendParts; i++) before[sendFirst + i] = TestValues.Input(op, rank, worldSize, i);
        Load(host, stream, largest, before);
        Load(host, stream, other, Filled(otherCount, 77.0));
        Tensor target = isInPlace ? largest : other;
        using Tensor send = new(largest.Buffer, new Shape(size * sendParts), dtype, sendFirst * elementSize), receive = new(target.Buffer, new Shape(size * receiveParts), dtype, receiveFirst * elementSize);
        Collective call = new(verb, send, receive, op, root);
        if (isAsync) communicator.Start(stream, call).Wait();
        else communicator.Run(stream, call);

        // All of the target: what was to change and what was not.
        double[] expected = isInPlace ? before : Filled(otherCount, 77.0);
        bool receives = verb != CollectiveVerb.Reduce || rank == root;
        for (int i = 0; receives && i < size * receiveParts; i++) expected[receiveFirst + i] = Expected(verb, op, rank, worldSize, root, size, i);
        string what = $"{verb} {dtype} {op} root {root} of {size}, rank {rank} of {worldSize}, {(isInPlace ? "in place" : "apart")}, offset {offset}, {(isAsync ? "async" : "sync")} on {device.Name}";
        Assert.True(expected.AsSpan().SequenceEqual(Read(host, stream, target)), what);
    }

    private static double Expected(CollectiveVerb verb, ReduceOp op, int rank, int worldSize, int root, int size, int i) => verb switch
    {
        CollectiveVerb.AllReduce or CollectiveVerb.Reduce => TestValues.Reduced(op, worldSize, i),
        CollectiveVerb.ReduceScatter => TestValues.Reduced(op, worldSize, (rank * size) + i),
        CollectiveVerb.AllGather => TestValues.Input(op, i / size, worldSize, i % size),
        CollectiveVerb.Broadcast => TestValues.Input(op, root, worldSize, i),
        _ => TestValues.Input(op, i / size, worldSize, (rank * size) + (i % size)),
    };

    private static void Load(CpuDevice host, ExecutionStream stream, Tensor tensor, double[] values)
    {
        using Tensor source = TestValues.Make(host.DefaultStream, tensor.DType, values);
        tensor.CopyFromAsync(stream, source.Pointer);
        stream.Synchronize();
    }

    private static double[] Read(CpuDevice host, ExecutionStream stream, Tensor tensor)
    {
        using Tensor copy = Tensor.Allocate(host.DefaultStream, tensor.Shape, tensor.DType);
        tensor.CopyTo(stream, copy.Pointer);
        return TestValues.Read(copy);
    }

    private static T[] Filled<T>(int count, T value)
    {
        T[] values = new T[count];
        Array.Fill(values, value);
        return values;
    }
}
