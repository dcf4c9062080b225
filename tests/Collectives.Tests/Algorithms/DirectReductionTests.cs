using System.Runtime.InteropServices;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Collectives.Tests;

/// <summary>Fixed order over a transport that promises none: reductions are made of messages and have the bits that an ordered transport gives; everything else stays the transport's.</summary>
public sealed class DirectReductionTests
{
    private static readonly CommunicatorOptions s_options = new() { Timeout = TimeSpan.FromSeconds(60), Determinism = Determinism.FixedOrder };
    private static readonly CollectiveVerb[] s_reducing = [CollectiveVerb.AllReduce, CollectiveVerb.ReduceScatter, CollectiveVerb.Reduce];

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(8)]
    public void Every_reducing_verb_has_the_bits_of_an_ordered_transport_and_none_is_left_to_the_unordered_one(int worldSize)
    {
        Run(worldSize, s_options, (ordered, unordered, transport, device) =>
        {
            Random random = new(worldSize);
            foreach (CollectiveVerb verb in s_reducing)
                foreach (DType dtype in TestValues.Types)
                    foreach (int size in (int[])[0, 1, 7, 65, 3000])
                        Compare(ordered, unordered, device, verb, dtype, (ReduceOp)random.Next(5), random.Next(worldSize), size, isInPlace: random.Next(2) == 0);
            Assert.Empty(transport.OwnVerbs);
            Assert.True(transport.ExchangeCount > 0);
        });
    }

    [Fact]
    public void A_root_other_than_the_first_rank_alone_gets_the_result_and_nobody_elses_memory_changes()
    {
        Run(4, s_options, (_, unordered, transport, device) =>
        {
            for (int root = 0; root < 4; root++)
            {
                using Tensor send = TestValues.Make(device.DefaultStream, DType.F32, [.. Enumerable.Repeat(unordered.Rank + 1.0, 1000)]), receive = TestValues.Make(device.DefaultStream, DType.F32, [.. Enumerable.Repeat(77.0, 1000)]);
                unordered.Run(device.DefaultStream, new Collective(CollectiveVerb.Reduce, send, receive, ReduceOp.Sum, root));
                Assert.All(TestValues.Read(receive), value => Assert.Equal(unordered.Rank == root ? 10 : 77, value));
                Assert.All(TestValues.Read(send), value => Assert.Equal(unordered.Rank + 1, value));
            }
            Assert.Empty(transport.OwnVerbs);
        });
    }

    [Fact]
    public void Verbs_that_add_nothing_and_reductions_without_a_wished_order_stay_the_transports_own()
    {
        Run(3, s_options, (_, unordered, transport, device) =>
        {
            using Tensor whole = Tensor.Zeros(device.DefaultStream, new Shape(30)), other = Tensor.Zeros(device.DefaultStream, new Shape(30)), part = Tensor.Zeros(device.DefaultStream, new Shape(10));
            unordered.Run(device.DefaultStream, new Collective(CollectiveVerb.AllGather, part, whole));
            unordered.Run(device.DefaultStream, new Collective(CollectiveVerb.Broadcast, whole, whole, default, 1));
            unordered.Run(device.DefaultStream, new Collective(CollectiveVerb.AllToAll, whole, other));
            unordered.Barrier(device.DefaultStream);
            Assert.Equal([CollectiveVerb.AllGather, CollectiveVerb.Broadcast, CollectiveVerb.AllToAll, CollectiveVerb.Barrier], transport.OwnVerbs);
            Assert.True(unordered.IsFixedOrder);
        });
        Run(3, s_options with { Determinism = default }, (_, unordered, transport, device) =>
        {
            using Tensor whole = Tensor.Zeros(device.DefaultStream, new Shape(30));
            unordered.AllReduce(device.DefaultStream, whole);
            Assert.Equal([CollectiveVerb.AllReduce], transport.OwnVerbs);
            Assert.False(unordered.IsFixedOrder);
        });
    }

    [Fact]
    public void The_tree_algorithm_keeps_the_fixed_order_too_where_nothing_is_rounded_on_the_way()
    {
        Run(5, s_options with { Algorithm = AllReduceAlgorithm.Tree }, (ordered, unordered, transport, device) =>
        {
            foreach (DType dtype in TestValues.Types) Compare(ordered, unordered, device, CollectiveVerb.AllReduce, dtype, ReduceOp.Sum, 0, 1000, isInPlace: true);
            Assert.Empty(transport.OwnVerbs);
        });
    }

    [Theory]
    [InlineData(CollectiveVerb.AllReduce)]
    [InlineData(CollectiveVerb.ReduceScatter)]
    [InlineData(CollectiveVerb.Reduce)]
    public void Ranks_that_disagree_all_hear_of_both_calls(CollectiveVerb verb)
    {
        List<string> messages = [];
        Run(3, s_options, (_, unordered, transport, device) =>
        {
            int size = unordered.Rank == 2 ? 20 : 10;
            using Tensor send = Tensor.Zeros(device.DefaultStream, new Shape(size * (verb == CollectiveVerb.ReduceScatter ? 3 : 1))), receive = Tensor.Zeros(device.DefaultStream, new Shape(size));
            string message = Assert.Throws<CollectiveMismatchException>(() => unordered.Run(device.DefaultStream, new Collective(verb, send, receive, ReduceOp.Sum, 1))).Message;
            lock (messages) messages.Add(message);
            // Who sees the difference sends nothing but its call; rank 1 compares with rank 0, which calls the same, and hears of it in its next exchange.
            Assert.InRange(transport.ExchangeCount, 1, unordered.Rank == 1 ? 2 : 1);
        }, leavesTogether: false);
        Assert.Equal(3, messages.Count);
        Assert.All(messages, message => Assert.Contains(", 10 elements", message, StringComparison.Ordinal));
        Assert.All(messages, message => Assert.Contains(", 20 elements", message, StringComparison.Ordinal));
    }

    [Fact]
    public void A_group_split_off_keeps_the_order_as_well()
    {
        Run(5, s_options, (ordered, unordered, transport, device) =>
        {
            using ICommunicator expected = ordered.Split(unordered.Rank % 2)!, part = unordered.Split(unordered.Rank % 2)!;
            Compare(expected, part, device, CollectiveVerb.AllReduce, DType.F32, ReduceOp.Sum, 0, 1000, isInPlace: true);
            Compare(expected, part, device, CollectiveVerb.ReduceScatter, DType.BF16, ReduceOp.Average, 0, 100, isInPlace: false);
            Assert.Empty(transport.OwnVerbs);
        });
    }

    // Two worlds of the same threads: an ordered one that gives the truth, and the unordered one.
    private static void Run(int worldSize, CommunicatorOptions options, Action<ICommunicator, ICommunicator, UnorderedTransport, CpuDevice> program, bool leavesTogether = true)
    {
        InProcessGroup group = new(worldSize);
        World.Run(WorldKind.InProcess, worldSize, options, (ordered, device) =>
        {
            UnorderedTransport transport = new(new InProcessTransport(group, ordered.Rank, options.Timeout));
            using HostCommunicator unordered = new(transport, options);
            try
            {
                program(ordered, unordered, transport, device);
                if (leavesTogether) ordered.Barrier(device.DefaultStream);
            }
            catch (Exception failure) when (failure is not CollectiveException)
            {
                unordered.Abort(failure.Message);
                throw;
            }
        }, leavesTogether);
    }

    private static void Compare(ICommunicator ordered, ICommunicator unordered, CpuDevice device, CollectiveVerb verb, DType dtype, ReduceOp op, int root, int size, bool isInPlace)
    {
        byte[] expected = Result(ordered, device, verb, dtype, op, root, size, isInPlace), found = Result(unordered, device, verb, dtype, op, root, size, isInPlace);
        Assert.True(expected.AsSpan().SequenceEqual(found), $"{verb} {dtype} {op} root {root} of {size}, {(isInPlace ? "in place" : "apart")}, on rank {unordered.Rank} of {unordered.WorldSize}");
    }

    // The bits of what a rank gets; of a rank that gets nothing, none.
    private static byte[] Result(ICommunicator communicator, CpuDevice device, CollectiveVerb verb, DType dtype, ReduceOp op, int root, int size, bool isInPlace)
    {
        int parts = verb == CollectiveVerb.ReduceScatter ? communicator.WorldSize : 1;
        using Tensor send = TestValues.Make(device.DefaultStream, dtype, [.. Enumerable.Range(0, size * parts).Select(i => Rough(communicator.Rank, i))]);
        using Tensor receive = !isInPlace ? Tensor.Allocate(device.DefaultStream, new Shape(size), dtype)
            : new Tensor(send.Buffer, new Shape(size), dtype, verb == CollectiveVerb.ReduceScatter ? communicator.Rank * size * dtype.ByteSize() : 0);
        communicator.Run(device.DefaultStream, new Collective(verb, send, receive, op, root));
        if (verb == CollectiveVerb.Reduce && communicator.Rank != root) return [];
        return MemoryMarshal.AsBytes<double>(TestValues.Read(receive)).ToArray();
    }

    // Values whose sum depends on the order of additions.
    private static double Rough(int rank, int element) => Math.Round(Math.Sin((rank * 91.7) + element) * 1000) / 64 * (rank % 3 == 0 ? 1 : 1e-3);
}
