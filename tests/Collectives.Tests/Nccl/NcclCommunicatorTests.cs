using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Collectives.Tests;

/// <summary>NCCL's communicator over stand-ins: what it enqueues, in which order, on which stream, and what it makes of failures.</summary>
public sealed class NcclCommunicatorTests
{
    private static readonly int[] s_sizes = [0, 1, 2, 7, 64, 1023, 4097];
    private static readonly CollectiveVerb[] s_verbs = [CollectiveVerb.AllReduce, CollectiveVerb.ReduceScatter, CollectiveVerb.AllGather, CollectiveVerb.Broadcast, CollectiveVerb.Reduce, CollectiveVerb.AllToAll];

    public static TheoryData<int, AllReduceAlgorithm?, bool> Worlds
    {
        get
        {
            TheoryData<int, AllReduceAlgorithm?, bool> data = [];
            foreach (int worldSize in new[] { 1, 2, 3, 5 })
                foreach (AllReduceAlgorithm? algorithm in worldSize == 1 ? [null] : new AllReduceAlgorithm?[] { null, AllReduceAlgorithm.Ring, AllReduceAlgorithm.Direct, AllReduceAlgorithm.RecursiveDoubling, AllReduceAlgorithm.Tree, AllReduceAlgorithm.DoubleTree })
                    data.Add(worldSize, algorithm, false);
            data.Add(4, null, true);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Worlds))]
    public void Every_result_is_exact(int worldSize, AllReduceAlgorithm? algorithm, bool checksCalls) => Run(worldSize, new CommunicatorOptions { Algorithm = algorithm, CheckCalls = checksCalls }, (communicator, device) =>
    {
        Random random = new(worldSize);
        for (int trial = 0; trial < 60; trial++)
        {
            CollectiveVerb verb = algorithm switch { null => s_verbs[random.Next(s_verbs.Length)], AllReduceAlgorithm.Ring => s_verbs[random.Next(3)], _ => CollectiveVerb.AllReduce };
            ConformanceTests.Check(communicator, device, verb, TestValues.Types[random.Next(6)], (ReduceOp)random.Next(5), random.Next(worldSize), s_sizes[random.Next(s_sizes.Length)],
                isInPlace: random.Next(2) == 0, misalignment: 0, isAsync: random.Next(2) == 0, settle: () => communicator.Barrier(device.DefaultStream));
        }
    });

    [Theory]
    [InlineData(CollectiveVerb.AllReduce)]
    [InlineData(CollectiveVerb.ReduceScatter)]
    [InlineData(CollectiveVerb.Reduce)]
    public void In_fixed_order_sums_are_those_of_replicas_in_one_process_bit_for_bit(CollectiveVerb verb)
    {
        foreach (int worldSize in new[] { 2, 3, 5 })
        {
            foreach (DType dtype in new[] { DType.F32, DType.F64, DType.F16, DType.BF16 })
            {
                foreach (int size in new[] { 5, 1000, 9005 })
                {
                    if (verb == CollectiveVerb.ReduceScatter && size % worldSize != 0) continue;
                    double[][] expected = new double[worldSize][], found = new double[worldSize][];
                    World.Run(WorldKind.InProcess, worldSize, new CommunicatorOptions { Determinism = Determinism.FixedOrder }, (communicator, device) => expected[communicator.Rank] = Reduced(communicator, device, verb, dtype, size));
                    Run(worldSize, new CommunicatorOptions { Determinism = Determinism.FixedOrder }, (communicator, device) =>
                    {
                        Assert.True(communicator.IsFixedOrder);
                        found[communicator.Rank] = Reduced(communicator, device, verb, dtype, size);
                    });
                    Assert.Equal(expected, found);
                }
            }
        }

        static double[] Reduced(ICommunicator communicator, CpuDevice device, CollectiveVerb verb, DType dtype, int size)
        {
            using Tensor own = TestValues.Make(device.DefaultStream, dtype, [.. Enumerable.Range(0, size).Select(i => ConformanceTests.Rough(communicator.Rank, i))]);
            using Tensor result = TestValues.Make(device.DefaultStream, dtype, new double[verb == CollectiveVerb.ReduceScatter ? size / communicator.WorldSize : size]);
            communicator.Run(device.DefaultStream, new Collective(verb, own, verb == CollectiveVerb.Reduce && communicator.Rank != 1 ? null : result, ReduceOp.Sum, Root: 1));
            communicator.Barrier(device.DefaultStream);
            return TestValues.Read(result);
        }
    }

    [Theory]
    [InlineData(2, DType.F32)]
    [InlineData(3, DType.BF16)]
    [InlineData(5, DType.F32)]
    public void Along_the_ring_a_reduce_scatter_has_the_bits_of_replicas_in_one_process(int worldSize, DType dtype)
    {
        CommunicatorOptions ring = new() { Algorithm = AllReduceAlgorithm.Ring };
        double[][] expected = new double[worldSize][], found = new double[worldSize][];
        World.Run(WorldKind.InProcess, worldSize, ring, (communicator, device) => expected[communicator.Rank] = Reduced(communicator, device));
        Run(worldSize, ring, (communicator, device) => found[communicator.Rank] = Reduced(communicator, device));
        Assert.Equal(expected, found);

        double[] Reduced(ICommunicator communicator, CpuDevice device)
        {
            using Tensor own = TestValues.Make(device.DefaultStream, dtype, [.. Enumerable.Range(0, 1000 * worldSize).Select(i => ConformanceTests.Rough(communicator.Rank, i))]);
            using Tensor result = TestValues.Make(device.DefaultStream, dtype, new double[1000]);
            communicator.ReduceScatter(device.DefaultStream, own, result);
            communicator.Barrier(device.DefaultStream);
            return TestValues.Read(result);
        }
    }

    [Fact]
    public void Messages_go_all_at_once_keep_their_order_and_are_added_to_what_is_there() => Run(4, new CommunicatorOptions(), (communicator, device) =>
    {
        int rank = communicator.Rank, next = (rank + 1) % 4, previous = (rank + 3) % 4;
        ExecutionStream stream = device.DefaultStream;
        foreach (int size in new[] { 1, 5000 })
        {
            using Tensor first = TestValues.Make(stream, DType.F32, [.. Enumerable.Repeat(rank + 1.0, size)]), second = TestValues.Make(stream, DType.BF16, [.. Enumerable.Repeat(rank + 10.0, size)]);
            using Tensor a = Tensor.Allocate(stream, new Shape(size)), b = TestValues.Make(stream, DType.BF16, [.. Enumerable.Repeat(100.0, size)]);
            communicator.Exchange(stream, PeerTransfer.Send(first, next), PeerTransfer.Send(second, next), PeerTransfer.Receive(a, previous), PeerTransfer.ReceiveReduce(b, previous));
            Assert.All(TestValues.Read(a), value => Assert.Equal(previous + 1, value));
            Assert.All(TestValues.Read(b), value => Assert.Equal(previous + 110, value));
        }
        using Tensor ints = TestValues.Make(stream, DType.I64, [1]);
        Assert.Equal("recv_reduce: there is no kernel for Sum of I64 on cpu; sums and products of F32, F16 and BF16 there are",
            Assert.Throws<ArgumentException>(() => communicator.Exchange(stream, PeerTransfer.ReceiveReduce(ints, previous))).Message);
    });

    [Fact]
    public void Groups_split_off_work_by_themselves() => Run(5, new CommunicatorOptions(), (communicator, device) =>
    {
        using ICommunicator part = communicator.Split(communicator.Rank % 2, key: -communicator.Rank)!;
        int[] members = communicator.Rank % 2 == 0 ? [4, 2, 0] : [3, 1];
        Assert.Equal((members.Length, Array.IndexOf(members, communicator.Rank), "nccl"), (part.WorldSize, part.Rank, part.Transport));
        using Tensor sum = TestValues.Make(device.DefaultStream, DType.I32, [communicator.Rank]);
        part.AllReduce(device.DefaultStream, sum);
        part.Barrier(device.DefaultStream);
        Assert.Equal(members.Sum(), TestValues.Read(sum)[0]);
    });

    [Fact]
    public void A_handle_waits_for_the_device_and_tensors_may_be_let_go_at_once() => Run(3, new CommunicatorOptions(), (communicator, device) =>
    {
        ExecutionStream stream = device.DefaultStream;
        using Tensor kept = TestValues.Make(stream, DType.F32, [communicator.Rank + 1.0]);
        CollectiveHandle[] handles = [.. Enumerable.Range(0, 20).Select(_ =>
        {
            using Tensor gone = TestValues.Make(stream, DType.F32, [.. Enumerable.Repeat(1.0, 1000)]);
            return communicator.AllReduceAsync(stream, gone);
        }), communicator.AllReduceAsync(stream, kept)];
        foreach (CollectiveHandle handle in handles) handle.Wait();
        Assert.Equal([6.0], TestValues.Read(kept));
        Assert.All(handles, handle => Assert.True(handle.IsCompleted));
    });

    [Fact]
    public void A_start_with_a_tensor_that_is_gone_holds_no_memory() => Run(2, new CommunicatorOptions(), (communicator, device) =>
    {
        ExecutionStream stream = device.DefaultStream;
        int before = device.Pool.RentedCount;
        using (Tensor send = TestValues.Make(stream, DType.F32, [1]))
        {
            Tensor gone = TestValues.Make(stream, DType.F32, [1]);
            gone.Dispose();
            if (communicator.Rank == 0) Assert.Throws<ObjectDisposedException>(() => { communicator.ReduceAsync(stream, send, gone, root: 1); });
        }
        Assert.Equal(before, device.Pool.RentedCount);
    });

    [Fact]
    public void An_exchange_that_finds_no_memory_sends_nothing_and_the_next_one_is_whole() => Run(2, new CommunicatorOptions(), (communicator, device) =>
    {
        int rank = communicator.Rank, other = 1 - rank;
        ExecutionStream stream = device.DefaultStream;
        using Tensor never = TestValues.Make(stream, DType.F32, [.. Enumerable.Repeat(100.0, 5000)]), mine = TestValues.Make(stream, DType.F32, [.. Enumerable.Repeat(rank + 1.0, 5000)]);
        using Tensor sum = TestValues.Make(stream, DType.F32, [.. Enumerable.Repeat(10.0, 5000)]);
        int before = device.Pool.RentedCount;
        device.Pool.ByteLimit = device.Pool.RentedByteCount;
        if (rank == 0) Assert.Throws<OutOfDeviceMemoryException>(() => communicator.Exchange(stream, PeerTransfer.Send(never, other), PeerTransfer.ReceiveReduce(sum, other)));
        device.Pool.ByteLimit = long.MaxValue;
        Assert.Equal((before, null), (device.Pool.RentedCount, communicator.Failure));
        communicator.Exchange(stream, PeerTransfer.Send(mine, other), PeerTransfer.ReceiveReduce(sum, other));
        Assert.All(TestValues.Read(sum), value => Assert.Equal(other + 11, value));
    });

    [Fact]
    public void A_collective_of_ours_that_finds_no_memory_half_way_ends_the_communicator() => Run(2, new CommunicatorOptions { Algorithm = AllReduceAlgorithm.Ring }, (communicator, device) =>
    {
        ExecutionStream stream = device.DefaultStream;
        using Tensor sum = TestValues.Make(stream, DType.F32, [.. Enumerable.Repeat(1.0, 5000)]);
        device.Pool.ByteLimit = device.Pool.RentedByteCount;
        Assert.Throws<OutOfDeviceMemoryException>(() => communicator.AllReduce(stream, sum));
        Assert.Contains($"rank {communicator.Rank}: all_reduce could not go on: ", Assert.IsType<CommunicatorAbortedException>(communicator.Failure).Message, StringComparison.Ordinal);
    }, leavesTogether: false);

    [Fact]
    public void A_device_that_fails_under_way_kills_the_communicator_and_not_the_program()
    {
        StandIns.Need();
        using ShimTransport transport = ShimTransport.JoinNccl(0, 1, NcclUniqueId.Create(), 0, new CommunicatorOptions());
        using NcclWatch watch = new(transport);
        watch.Add(CollectiveVerb.AllReduce, new FailedEvent());
        Assert.True(SpinWait.SpinUntil(() => transport.Failure is not null, TimeSpan.FromSeconds(30)));
        Assert.Contains("cuEventQuery failed with CUDA status 700", Assert.IsType<CommunicatorAbortedException>(transport.Failure).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_rank_that_does_not_come_is_a_timeout_and_the_communicator_is_dead() => Run(3, new CommunicatorOptions { Timeout = TimeSpan.FromMilliseconds(500) }, (communicator, device) =>
    {
        if (communicator.Rank == 1) return;
        using Tensor tensor = TestValues.Make(device.DefaultStream, DType.F32, [1]);
        CollectiveHandle handle = communicator.AllReduceAsync(device.DefaultStream, tensor);
        Assert.ThrowsAny<CollectiveException>(() => handle.Wait());
        Assert.NotNull(communicator.Failure);
        Assert.ThrowsAny<CollectiveException>(() => communicator.AllReduce(device.DefaultStream, tensor));
    }, leavesTogether: false);

    [Fact]
    public void Aborting_is_told_to_whoever_waits() => Run(1, new CommunicatorOptions(), (communicator, device) =>
    {
        communicator.Abort("enough");
        using Tensor tensor = TestValues.Make(device.DefaultStream, DType.F32, [1]);
        Assert.Contains("enough", Assert.Throws<CommunicatorAbortedException>(() => communicator.AllReduce(device.DefaultStream, tensor)).Message, StringComparison.Ordinal);
    }, leavesTogether: false);

    [Theory]
    [InlineData(6, typeof(CommunicatorLostException), "remote process exited")]
    [InlineData(2, typeof(CollectiveException), "unhandled system error")]
    public void What_NCCL_reports_by_itself_kills_the_communicator_and_is_told_to_whoever_waits(int reported, Type expected, string text) => Run(1, new CommunicatorOptions(), (communicator, device) =>
    {
        using Tensor tensor = TestValues.Make(device.DefaultStream, DType.F32, [1]);
        Assert.Null(communicator.Failure);
        StandIns.Hang(true);
        try
        {
            CollectiveHandle handle = communicator.AllReduceAsync(device.DefaultStream, tensor);
            StandIns.Report(reported);
            Exception told = Assert.ThrowsAny<CollectiveException>(() => handle.Wait());
            Assert.IsType(expected, told);
            Assert.Contains(text, told.Message, StringComparison.Ordinal);
            Assert.IsType(expected, communicator.Failure);
            Assert.IsType(expected, Assert.ThrowsAny<CollectiveException>(() => communicator.AllReduce(device.DefaultStream, tensor)));
        }
        finally
        {
            StandIns.Hang(false);
            StandIns.Report(0);
        }
    }, leavesTogether: false);

    [Fact]
    public void Communicators_and_their_groups_leave_nothing_behind()
    {
        StandIns.Need();
        NcclUniqueId.Create();
        int before = StandIns.Left();
        Run(3, new CommunicatorOptions { Algorithm = AllReduceAlgorithm.Ring }, (communicator, device) =>
        {
            using RegisteredMemory memory = communicator.Allocate(device, 4096);
            using Tensor tensor = TestValues.Make(device.DefaultStream, DType.F32, new double[1000]);
            communicator.AllReduceAsync(device.DefaultStream, tensor).Wait();
            using ICommunicator part = communicator.Split(communicator.Rank & 1)!;
            part.AllReduce(device.DefaultStream, tensor);
            part.Barrier(device.DefaultStream);
        });
        Assert.Equal(before, StandIns.Left());
    }

    [Fact]
    public void Calls_that_are_compared_and_differ_are_an_error_that_names_both() => Run(2, new CommunicatorOptions { CheckCalls = true }, (communicator, device) =>
    {
        using Tensor tensor = TestValues.Make(device.DefaultStream, DType.F32, new double[10 + communicator.Rank]);
        string message = Assert.Throws<CollectiveMismatchException>(() => communicator.AllReduce(device.DefaultStream, tensor)).Message;
        Assert.Contains("10 elements", message, StringComparison.Ordinal);
        Assert.Contains("11 elements", message, StringComparison.Ordinal);
    }, leavesTogether: false);

    [Fact]
    public void What_does_not_fit_is_refused_before_anything_is_enqueued() => Run(2, new CommunicatorOptions { Determinism = Determinism.FixedOrder }, (communicator, device) =>
    {
        ExecutionStream stream = device.DefaultStream;
        using CpuDevice other = new("other", InstructionSet.Vector128, 1);
        using Tensor ten = TestValues.Make(stream, DType.F32, new double[10]), elsewhere = TestValues.Make(other.DefaultStream, DType.F32, new double[10]);
        Assert.Equal("this communicator is cpu's, the stream belongs to other", Assert.Throws<ArgumentException>(() => communicator.AllReduce(other.DefaultStream, elsewhere)).Message);
        Assert.Contains("root 2, expected 0 to 1", Assert.Throws<ArgumentException>(() => communicator.Broadcast(stream, ten, 2)).Message, StringComparison.Ordinal);
        communicator.AllReduce(stream, ten);
    });

    [Fact]
    public void Ranks_get_the_id_over_a_store_that_rank_0_serves_for_as_long_as_it_takes()
    {
        StandIns.Need();
        Environment.SetEnvironmentVariable(JobSecret.Variable, new string('a', 2 * JobSecret.ByteCount));
        int port;
        using (TcpStoreServer free = new("free", JobSecret.Create())) port = free.Port;
        double[] sums = new double[3];
        RankThreads.Run(3, rank =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            CommunicatorOptions options = new();
            ClusterEnvironment job = new() { Engine = ClusterEngine.Torchrun, Rank = rank, WorldSize = 3, MasterAddress = "127.0.0.1", MasterPort = port, Reason = "a test" };
            using ICommunicator communicator = Communicator.OverStore(job, options, id => Communicator.Nccl(rank, 3, id, device, rank, options));
            using Tensor sum = TestValues.Make(device.DefaultStream, DType.F32, [rank + 1]);
            communicator.AllReduce(device.DefaultStream, sum);
            communicator.Barrier(device.DefaultStream);
            sums[rank] = TestValues.Read(sum)[0];
        }, failure => failure is CollectiveException);
        Assert.Equal([6.0, 6.0, 6.0], sums);
        // The store is gone: its port is free.
        using TcpStoreServer again = new("again", JobSecret.Create(), new TcpStoreServerOptions { Port = port });
    }

    [Fact]
    public void An_id_has_128_bytes_and_CPU_devices_are_refused()
    {
        StandIns.Need();
        Assert.StartsWith("an id of NCCL has 128 bytes, found 3", Assert.Throws<ArgumentException>(() => new NcclUniqueId([1, 2, 3])).Message, StringComparison.Ordinal);
        using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
        Assert.StartsWith("NCCL joins CUDA devices, cpu is Cpu", Assert.Throws<ArgumentException>(() => Communicator.Nccl(0, 1, NcclUniqueId.Create(), device)).Message, StringComparison.Ordinal);
    }

    private static void Run(int worldSize, CommunicatorOptions options, Action<ICommunicator, CpuDevice> program, bool leavesTogether = true)
    {
        StandIns.Need();
        NcclUniqueId id = NcclUniqueId.Create();
        RankThreads.Run(worldSize, rank =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            using ICommunicator communicator = Communicator.Nccl(rank, worldSize, id, device, rank, options);
            try
            {
                program(communicator, device);
            }
            catch (Exception failure) when (failure is not CollectiveException)
            {
                communicator.Abort(failure.Message);
                throw;
            }
            if (leavesTogether) communicator.Barrier(device.DefaultStream);
        }, failure => failure is CollectiveException);
    }

    /// <summary>What a kernel's illegal access makes of all events of a context.</summary>
    private sealed class FailedEvent : StreamEvent
    {
        public override bool IsCompleted => throw new DeviceException("cuEventQuery failed with CUDA status 700");

        public override void Synchronize() => throw new DeviceException("cuEventSynchronize failed with CUDA status 700");
    }
}
