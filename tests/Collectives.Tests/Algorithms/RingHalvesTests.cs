using DistTrain.Kernels;

namespace DistTrain.Collectives.Tests;

/// <summary>With the ring, reduce-scatter and all-gather are its halves: made of messages between neighbours, and one after the other what all-reduce gives.</summary>
public sealed class RingHalvesTests
{
    private static readonly CommunicatorOptions s_options = new() { Algorithm = AllReduceAlgorithm.Ring, Timeout = TimeSpan.FromSeconds(60), SegmentByteCount = 256 };

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public void Both_halves_go_along_the_ring_in_as_many_steps_as_there_are_other_ranks(int worldSize) => Run(worldSize, (communicator, transport, device) =>
    {
        const int Count = 1000;
        using Tensor send = Tensor.From(device.DefaultStream, [.. Enumerable.Range(0, Count * worldSize).Select(i => Rough(communicator.Rank, i))], new Shape(Count * worldSize));
        using Tensor part = Tensor.Allocate(device.DefaultStream, new Shape(Count)), whole = Tensor.Allocate(device.DefaultStream, new Shape(Count * worldSize));
        communicator.ReduceScatter(device.DefaultStream, send, part);
        // Each call is compared with the neighbour's first.
        Assert.Equal(1 + (worldSize - 1), transport.ExchangeCount);
        communicator.AllGather(device.DefaultStream, part, whole);
        Assert.Equal(2 * worldSize, transport.ExchangeCount);
        Assert.Empty(transport.OwnVerbs);
        // Each element was added along the ring, from the rank behind its owner on, and its owner added last.
        float[] expected = [.. Enumerable.Range(0, Count * worldSize).Select(i =>
        {
            int owner = i / Count;
            float sum = Rough((owner + 1) % worldSize, i);
            for (int hop = 2; hop <= worldSize; hop++) sum += Rough((owner + hop) % worldSize, i);
            return sum;
        })];
        Assert.Equal(expected, whole.ToArray<float>(device.DefaultStream));
        Assert.Equal(Rough(communicator.Rank, 3), send.ToArray<float>(device.DefaultStream)[3]);
    });

    [Theory]
    [InlineData(CollectiveVerb.ReduceScatter)]
    [InlineData(CollectiveVerb.AllGather)]
    public void Ranks_that_disagree_all_hear_of_both_calls(CollectiveVerb verb)
    {
        List<string> messages = [];
        Run(3, (communicator, _, device) =>
        {
            int size = communicator.Rank == 2 ? 20 : 10;
            using Tensor one = Tensor.Zeros(device.DefaultStream, new Shape(size)), all = Tensor.Zeros(device.DefaultStream, new Shape(3 * size));
            Collective call = verb == CollectiveVerb.AllGather ? new Collective(verb, one, all) : new Collective(verb, all, one);
            string message = Assert.Throws<CollectiveMismatchException>(() => communicator.Run(device.DefaultStream, call)).Message;
            lock (messages) messages.Add(message);
        }, leavesTogether: false);
        Assert.Equal(3, messages.Count);
        Assert.All(messages, message => Assert.Contains("10 elements", message, StringComparison.Ordinal));
        Assert.All(messages, message => Assert.Contains("20 elements", message, StringComparison.Ordinal));
    }

    [Fact]
    public void Other_algorithms_leave_them_to_the_transport() => Run(3, (communicator, transport, device) =>
    {
        using Tensor all = Tensor.Zeros(device.DefaultStream, new Shape(30)), one = Tensor.Zeros(device.DefaultStream, new Shape(10));
        communicator.ReduceScatter(device.DefaultStream, all, one);
        communicator.AllGather(device.DefaultStream, one, all);
        Assert.Equal([CollectiveVerb.ReduceScatter, CollectiveVerb.AllGather], transport.OwnVerbs);
    }, options: s_options with { Algorithm = AllReduceAlgorithm.Tree });

    private static void Run(int worldSize, Action<ICommunicator, UnorderedTransport, CpuDevice> program, bool leavesTogether = true, CommunicatorOptions? options = null)
    {
        InProcessGroup group = new(worldSize);
        World.Run(WorldKind.InProcess, worldSize, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) }, (other, device) =>
        {
            UnorderedTransport transport = new(new InProcessTransport(group, other.Rank, TimeSpan.FromSeconds(60)));
            using HostCommunicator communicator = new(transport, options ?? s_options);
            try
            {
                program(communicator, transport, device);
                if (leavesTogether) other.Barrier(device.DefaultStream);
            }
            catch (Exception failure) when (failure is not CollectiveException)
            {
                communicator.Abort(failure.Message);
                throw;
            }
        }, leavesTogether);
    }

    // Values whose sum depends on the order of additions.
    private static float Rough(int rank, int element) => (float)(Math.Sin((rank * 91.7) + element) * (rank % 3 == 0 ? 1 : 1e-3));
}
