using DistTrain.Kernels;

namespace DistTrain.Collectives.Tests;

/// <summary>Every verb, type, operator, place and size on every transport and algorithm, judged exactly; sampled by seed in the short run.</summary>
public sealed class ConformanceTests
{
    private static readonly bool s_isSoak = Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1";
    private static readonly int[] s_sizes = [0, 1, 2, 7, 64, 100, 1023, 4097, 10_007];
    private static readonly CollectiveVerb[] s_verbs = [CollectiveVerb.AllReduce, CollectiveVerb.ReduceScatter, CollectiveVerb.AllGather, CollectiveVerb.Broadcast, CollectiveVerb.Reduce, CollectiveVerb.AllToAll];

    public static TheoryData<WorldKind, int, AllReduceAlgorithm?> Worlds
    {
        get
        {
            TheoryData<WorldKind, int, AllReduceAlgorithm?> data = [];
            foreach (WorldKind kind in Enum.GetValues<WorldKind>())
                foreach (int worldSize in s_isSoak ? Enumerable.Range(1, 16).ToArray() : [1, 2, 3, 5, 8])
                    foreach (AllReduceAlgorithm? algorithm in worldSize == 1 ? [null] : new AllReduceAlgorithm?[] { null, AllReduceAlgorithm.Ring, AllReduceAlgorithm.Direct, AllReduceAlgorithm.RecursiveDoubling, AllReduceAlgorithm.Tree, AllReduceAlgorithm.DoubleTree })
                        data.Add(kind, worldSize, algorithm);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Worlds))]
    public void Every_result_is_exact(WorldKind kind, int worldSize, AllReduceAlgorithm? algorithm)
    {
        Skip(kind);
        int seed = s_isSoak ? Environment.TickCount : (worldSize * 10) + (int)(algorithm ?? (AllReduceAlgorithm)9);
        World.Run(kind, worldSize, Options(algorithm), (communicator, device) =>
        {
            // The same choices on every rank.
            Random random = new(seed);
            for (int trial = 0; trial < (s_isSoak ? 400 : 60); trial++)
            {
                // The ring's two halves are verbs by themselves.
                CollectiveVerb verb = algorithm switch { null => s_verbs[random.Next(s_verbs.Length)], AllReduceAlgorithm.Ring => s_verbs[random.Next(3)], _ => CollectiveVerb.AllReduce };
                Check(communicator, device, verb, TestValues.Types[random.Next(6)], (ReduceOp)random.Next(5), random.Next(worldSize), s_sizes[random.Next(s_sizes.Length)],
                    isInPlace: random.Next(2) == 0, misalignment: random.Next(3), isAsync: random.Next(4) == 0);
            }
        });
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void Sums_are_added_along_the_fixed_tree_whatever_the_size_and_are_rounded_once(WorldKind kind)
    {
        Skip(kind);
        foreach (int worldSize in new[] { 2, 3, 4, 5, 7 })
        {
            foreach (DType dtype in new[] { DType.F32, DType.F64, DType.F16, DType.BF16 })
            {
                foreach (AllReduceAlgorithm? algorithm in new AllReduceAlgorithm?[] { null, AllReduceAlgorithm.Direct })
                {
                    foreach (int size in new[] { 3, 1000, 9001 })
                    {
                        double[] expected = new double[size];
                        for (int i = 0; i < size; i++) expected[i] = Tree(dtype, worldSize, i);
                        World.Run(kind, worldSize, Options(algorithm) with { Determinism = Determinism.FixedOrder }, (communicator, device) =>
                        {
                            using Tensor tensor = TestValues.Make(device.DefaultStream, dtype, [.. Enumerable.Range(0, size).Select(i => Rough(communicator.Rank, i))]);
                            communicator.AllReduce(device.DefaultStream, tensor);
                            Assert.Equal(expected, TestValues.Read(tensor));
                        });
                    }
                }
            }
        }
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void Messages_between_ranks_go_all_at_once_and_keep_their_order(WorldKind kind)
    {
        Skip(kind);
        World.Run(kind, 4, Options(null), (communicator, device) =>
        {
            int rank = communicator.Rank, next = (rank + 1) % 4, previous = (rank + 3) % 4;
            ExecutionStream stream = device.DefaultStream;
            foreach (int size in new[] { 1, 5000, 200_000 })
            {
                using Tensor first = TestValues.Make(stream, DType.F32, [.. Enumerable.Repeat(rank + 1.0, size)]), second = TestValues.Make(stream, DType.I64, [.. Enumerable.Repeat(rank + 10.0, size)]);
                using Tensor a = Tensor.Allocate(stream, new Shape(size)), b = TestValues.Make(stream, DType.I64, [.. Enumerable.Repeat(100.0, size)]);
                communicator.Exchange(stream, PeerTransfer.Send(first, next), PeerTransfer.Send(second, next), PeerTransfer.Receive(a, previous), PeerTransfer.ReceiveReduce(b, previous));
                Assert.All(TestValues.Read(a), value => Assert.Equal(previous + 1, value));
                Assert.All(TestValues.Read(b), value => Assert.Equal(previous + 110, value));
            }
            using Tensor message = TestValues.Make(stream, DType.I32, [rank]);
            if (rank % 2 == 0) communicator.Send(stream, message, rank + 1);
            else communicator.Receive(stream, message, rank - 1);
            Assert.Equal(rank / 2 * 2, TestValues.Read(message)[0]);
        });
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void Groups_split_off_order_their_ranks_by_key_and_work_by_themselves(WorldKind kind)
    {
        Skip(kind);
        World.Run(kind, 5, Options(null), (communicator, device) =>
        {
            // Ranks 4, 2, 0 in one group, 3, 1 in the other; then rank 0 in none.
            using ICommunicator part = communicator.Split(communicator.Rank % 2, key: -communicator.Rank)!;
            int[] members = communicator.Rank % 2 == 0 ? [4, 2, 0] : [3, 1];
            Assert.Equal((members.Length, Array.IndexOf(members, communicator.Rank)), (part.WorldSize, part.Rank));
            using Tensor sum = TestValues.Make(device.DefaultStream, DType.I32, [communicator.Rank]);
            part.AllReduce(device.DefaultStream, sum);
            Assert.Equal(members.Sum(), TestValues.Read(sum)[0]);
            using ICommunicator? rest = communicator.Split(communicator.Rank == 0 ? -1 : 7);
            Assert.Equal(communicator.Rank == 0 ? null : 4, rest?.WorldSize);
        });
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void Registered_memory_is_zeroed_reduced_where_it_lies_and_refuses_to_go_before_its_tensors(WorldKind kind)
    {
        Skip(kind);
        World.Run(kind, 3, Options(null), (communicator, device) =>
        {
            RegisteredMemory memory = communicator.Allocate(device, 40_000);
            using (Tensor whole = memory.Tensor(new Shape(10_000)))
            {
                Assert.False(whole.AsSpan<float>().ContainsAnyExcept(0f));
                whole.AsSpan<float>().Fill(communicator.Rank + 1);
                communicator.AllReduce(device.DefaultStream, whole);
                Assert.False(whole.AsSpan<float>().ContainsAnyExcept(6f));
                Assert.Throws<InvalidOperationException>(memory.Dispose);
                using Tensor part = memory.Tensor(new Shape(10), DType.I64, 800);
                Assert.Throws<ArgumentException>(() => memory.Tensor(new Shape(10_001)));
            }
            memory.Dispose();
        });
    }

    [Theory]
    [InlineData(WorldKind.InProcess, null)]
    [InlineData(WorldKind.SharedMemory, null)]
    [InlineData(WorldKind.InProcess, AllReduceAlgorithm.Ring)]
    [InlineData(WorldKind.SharedMemory, AllReduceAlgorithm.Tree)]
    public void Ranks_that_disagree_all_get_an_error_that_names_both_calls(WorldKind kind, AllReduceAlgorithm? algorithm)
    {
        Skip(kind);
        List<string> messages = [];
        World.Run(kind, 3, Options(algorithm), (communicator, device) =>
        {
            using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(communicator.Rank == 1 ? 11 : 10));
            string message = Assert.Throws<CollectiveMismatchException>(() => communicator.AllReduce(device.DefaultStream, tensor)).Message;
            lock (messages) messages.Add(message);
            // Dead at once, on every rank.
            Assert.ThrowsAny<CollectiveException>(() => communicator.Barrier(device.DefaultStream));
            Assert.NotNull(communicator.Failure);
        }, leavesTogether: false);
        Assert.Equal(3, messages.Count);
        Assert.All(messages, message => Assert.Contains("all_reduce(f32, sum, 10 elements)", message, StringComparison.Ordinal));
        Assert.All(messages, message => Assert.Contains("all_reduce(f32, sum, 11 elements)", message, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void A_rank_that_does_not_come_is_named_and_handles_throw_too(WorldKind kind)
    {
        Skip(kind);
        using ManualResetEventSlim over = new();
        int left = 2;
        World.Run(kind, 3, Options(null) with { Timeout = TimeSpan.FromMilliseconds(400) }, (communicator, device) =>
        {
            if (communicator.Rank == 1)
            {
                Assert.True(over.Wait(TimeSpan.FromSeconds(30)));
                return;
            }
            using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(10));
            CollectiveHandle handle = communicator.AllReduceAsync(device.DefaultStream, tensor);
            Assert.Contains("not arrived: rank 1", Assert.Throws<CollectiveTimeoutException>(() => handle.Wait()).Message, StringComparison.Ordinal);
            Assert.True(handle.IsCompleted && handle.AsTask().IsFaulted);
            if (Interlocked.Decrement(ref left) == 0) over.Set();
        }, leavesTogether: false);
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void Aborting_wakes_all_who_wait(WorldKind kind)
    {
        Skip(kind);
        World.Run(kind, 3, Options(null), (communicator, device) =>
        {
            if (communicator.Rank == 2)
            {
                Thread.Sleep(50);
                communicator.Abort("enough");
                return;
            }
            Assert.Contains("enough", Assert.Throws<CommunicatorAbortedException>(() => communicator.Barrier(device.DefaultStream)).Message, StringComparison.Ordinal);
        }, leavesTogether: false);
    }

    // In a finally, an error of its own would hide the one that ended the program.
    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void Registered_memory_of_a_communicator_that_failed_is_disposed_without_a_word(WorldKind kind)
    {
        Skip(kind);
        World.Run(kind, 3, Options(null), (communicator, device) =>
        {
            RegisteredMemory before = communicator.Allocate(device, 4096), meanwhile = communicator.Allocate(device, 4096);
            if (communicator.Rank == 2)
            {
                Thread.Sleep(50);
                communicator.Abort("enough");
            }
            else
            {
                // Waits for the third rank, which does not come.
                meanwhile.Dispose();
            }
            before.Dispose();
            Assert.Contains("enough", Assert.Throws<CommunicatorAbortedException>(() => communicator.Barrier(device.DefaultStream)).Message, StringComparison.Ordinal);
        }, leavesTogether: false);
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void A_rank_that_leaves_while_others_need_it_is_named(WorldKind kind)
    {
        Skip(kind);
        World.Run(kind, 3, Options(null), (communicator, device) =>
        {
            communicator.Barrier(device.DefaultStream);
            if (communicator.Rank == 0) return;
            CommunicatorLostException lost = Assert.Throws<CommunicatorLostException>(() => communicator.Barrier(device.DefaultStream));
            Assert.Equal((0, PeerLossReason.Left), (lost.Rank, lost.Reason));
        }, leavesTogether: false);
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void A_rank_that_leaves_while_tensors_still_lie_in_its_registered_memory_is_named(WorldKind kind)
    {
        Skip(kind);
        using CountdownEvent others = new(2);
        World.Run(kind, 3, Options(null), (communicator, device) =>
        {
            RegisteredMemory memory = communicator.Allocate(device, 4096);
            using Tensor tensor = memory.Tensor(new Shape(1024));
            tensor.AsSpan<float>()[7] = 7;
            if (communicator.Rank == 0)
            {
                communicator.Dispose();
                Assert.True(others.Wait(TimeSpan.FromSeconds(20)), "the others wait still");
                Assert.Equal(7, tensor.AsSpan<float>()[7]);
                return;
            }
            CommunicatorLostException lost = Assert.Throws<CommunicatorLostException>(() => communicator.Barrier(device.DefaultStream));
            others.Signal();
            Assert.Equal((0, PeerLossReason.Left), (lost.Rank, lost.Reason));
        }, leavesTogether: false);
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void The_flight_recorder_has_the_last_calls_of_every_rank(WorldKind kind)
    {
        Skip(kind);
        World.Run(kind, 2, Options(null), (communicator, device) =>
        {
            using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(10));
            for (int i = 0; i < 300; i++) communicator.AllReduce(device.DefaultStream, tensor);
            communicator.Barrier(device.DefaultStream);
            for (int rank = 0; rank < 2; rank++)
            {
                IReadOnlyList<FlightRecord> records = communicator.FlightRecords(rank);
                Assert.InRange(records.Count, 250, 256);
                Assert.Contains(records, record => record is { Call: { Sequence: 299, Verb: CollectiveVerb.AllReduce, ElementCount: 10 }, State: FlightState.Done });
            }
            communicator.Barrier(device.DefaultStream);
        });
    }

    [Theory]
    [InlineData(WorldKind.InProcess)]
    [InlineData(WorldKind.SharedMemory)]
    public void A_failure_writes_down_what_every_rank_called_last(WorldKind kind)
    {
        Skip(kind);
        string folder = Directory.CreateTempSubdirectory("disttrain-flight-").FullName;
        try
        {
            World.Run(kind, 2, Options(null) with { FlightFolder = folder }, (communicator, device) =>
            {
                using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(10 + communicator.Rank));
                communicator.Barrier(device.DefaultStream);
                Assert.Throws<CollectiveMismatchException>(() => communicator.AllReduce(device.DefaultStream, tensor));
            }, leavesTogether: false);
            for (int rank = 0; rank < 2; rank++)
            {
                string text = File.ReadAllText(Path.Combine(folder, $"flight-rank-{rank}.txt"));
                Assert.StartsWith($"CollectiveMismatchException on rank {rank} of 2 over ", text, StringComparison.Ordinal);
                foreach (string call in new[] { "#1 barrier(), done", "#2 all_reduce(f32, sum, 10 elements), ", "#2 all_reduce(f32, sum, 11 elements), " }) Assert.Contains(call, text, StringComparison.Ordinal);
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void A_call_in_one_process_allocates_nothing()
    {
        World.Run(WorldKind.InProcess, 2, Options(null), (communicator, device) =>
        {
            using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(1000));
            for (int i = 0; i < 50; i++) communicator.AllReduce(device.DefaultStream, tensor);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 50; i++) communicator.AllReduce(device.DefaultStream, tensor);
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        });
    }

    [Fact]
    public void What_does_not_fit_is_refused_before_anything_is_sent()
    {
        World.Run(WorldKind.InProcess, 2, Options(null), (communicator, device) =>
        {
            ExecutionStream stream = device.DefaultStream;
            using Tensor ten = Tensor.Zeros(stream, new Shape(10)), eleven = Tensor.Zeros(stream, new Shape(11)), ints = Tensor.Zeros(stream, new Shape(10), DType.I32);
            using Tensor overlapping = new(ten.Buffer, new Shape(5), DType.F32, 8);
            using Tensor low = new(ten.Buffer, new Shape(5));
            Assert.Contains("send has 10 elements, receive 11", Throws(() => communicator.AllReduce(stream, ten, eleven)), StringComparison.Ordinal);
            Assert.Contains("send is F32, receive is I32", Throws(() => communicator.AllReduce(stream, ten, ints)), StringComparison.Ordinal);
            Assert.Contains("which 2 ranks can't share evenly", Throws(() => communicator.AllToAll(stream, eleven, eleven)), StringComparison.Ordinal);
            Assert.Contains("root 2, expected 0 to 1", Throws(() => communicator.Broadcast(stream, ten, 2)), StringComparison.Ordinal);
            Assert.Contains("overlap", Throws(() => communicator.AllReduce(stream, low, overlapping)), StringComparison.Ordinal);
            Assert.Contains("expected another rank", Throws(() => communicator.Send(stream, ten, communicator.Rank)), StringComparison.Ordinal);
            communicator.AllReduce(stream, ten);
        });

        static string Throws(Action call) => Assert.Throws<ArgumentException>(call).Message;
    }

    private static CommunicatorOptions Options(AllReduceAlgorithm? algorithm) => new() { Timeout = TimeSpan.FromSeconds(60), Algorithm = algorithm, SegmentByteCount = algorithm is AllReduceAlgorithm.Ring or AllReduceAlgorithm.DoubleTree ? 4096 : 0 };

    private static void Skip(WorldKind kind)
    {
        if (kind == WorldKind.SharedMemory && !ShimLibrary.TryLoad(out string problem)) Assert.Skip(problem);
    }

    /// <summary>One call, judged exactly.</summary>
    /// <param name="settle">Waits until an enqueued call is done, where a call returns before that.</param>
    internal static void Check(ICommunicator communicator, CpuDevice device, CollectiveVerb verb, DType dtype, ReduceOp op, int root, int size, bool isInPlace, int misalignment, bool isAsync, Action? settle = null)
    {
        int worldSize = communicator.WorldSize, rank = communicator.Rank;
        int sendParts = verb is CollectiveVerb.ReduceScatter or CollectiveVerb.AllToAll ? worldSize : 1, receiveParts = verb is CollectiveVerb.AllGather or CollectiveVerb.AllToAll ? worldSize : 1;
        string what = $"{verb} {dtype} {op} root {root} of {size}, rank {rank} of {worldSize}, {(isInPlace ? "in place" : "apart")}, offset {misalignment}, {(isAsync ? "async" : "sync")}";
        ExecutionStream stream = device.DefaultStream;
        using Tensor largest = Tensor.Allocate(stream, new Shape(misalignment + (size * Math.Max(sendParts, receiveParts)) + 8), dtype), other = Tensor.Allocate(stream, new Shape(misalignment + (size * receiveParts) + 8), dtype);
        for (int i = 0; i < largest.ElementCount; i++) TestValues.Write(largest, i, 77);
        for (int i = 0; i < other.ElementCount; i++) TestValues.Write(other, i, 77);
        int ownPart = isInPlace && verb == CollectiveVerb.AllGather ? rank * size : 0;
        using Tensor send = Part(largest, misalignment + ownPart, size * sendParts);
        using Tensor receive = !isInPlace ? Part(other, misalignment, size * receiveParts) : Part(largest, misalignment + (verb == CollectiveVerb.ReduceScatter ? rank * size : 0), size * receiveParts);
        for (int i = 0; i < send.ElementCount; i++) TestValues.Write(send, i, TestValues.Input(op, rank, worldSize, i));
        Collective call = new(verb, send, receive, op, root);
        if (isAsync) communicator.Start(stream, call).Wait();
        else communicator.Run(stream, call);
        settle?.Invoke();
        if (verb == CollectiveVerb.Reduce && rank != root) return;
        double[] expected = [.. Enumerable.Range(0, size * receiveParts).Select(i => verb switch
        {
            CollectiveVerb.AllReduce or CollectiveVerb.Reduce => TestValues.Reduced(op, worldSize, i),
            CollectiveVerb.ReduceScatter => TestValues.Reduced(op, worldSize, (rank * size) + i),
            CollectiveVerb.AllGather => TestValues.Input(op, i / size, worldSize, i % size),
            CollectiveVerb.Broadcast => TestValues.Input(op, root, worldSize, i),
            _ => TestValues.Input(op, i / size, worldSize, (rank * size) + (i % size)),
        })];
        Assert.True(expected.AsSpan().SequenceEqual(TestValues.Read(receive)), what);
        // Nothing beside it was touched.
        using Tensor guard = Part(isInPlace ? largest : other, (int)(isInPlace ? largest : other).ElementCount - 8, 8);
        Assert.All(TestValues.Read(guard), value => Assert.Equal(77, value));
    }

    private static Tensor Part(Tensor whole, int first, int count) => new(whole.Buffer, new Shape(count), whole.DType, first * whole.DType.ByteSize());

    // Values whose sum depends on the order of additions.
    internal static double Rough(int rank, int element) => Math.Round(Math.Sin((rank * 91.7) + element) * 1000) / 64 * (rank % 3 == 0 ? 1 : 1e-3);

    private static double Tree(DType dtype, int worldSize, int element)
    {
        using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
        double Stored(int rank)
        {
            using Tensor one = TestValues.Make(device.DefaultStream, dtype, [Rough(rank, element)]);
            return TestValues.Read(one)[0];
        }
        if (dtype == DType.F64) return FixedTree.Reduce(0, worldSize, Stored, (left, right) => left + right);
        float sum = FixedTree.Reduce(0, worldSize, rank => (float)Stored(rank), (left, right) => left + right);
        return dtype switch
        {
            DType.F16 => (double)(Half)sum,
            DType.BF16 => BitConverter.UInt32BitsToSingle((BitConverter.SingleToUInt32Bits(sum) + 0x7FFF + ((BitConverter.SingleToUInt32Bits(sum) >> 16) & 1)) & 0xFFFF0000),
            _ => sum,
        };
    }
}
