using System.Diagnostics;
using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Collectives.Tests;

/// <summary>Every way in which ranks can call different things, and failures at any moment: an error on every rank, at once, and for good.</summary>
public sealed class InProcessFailureTests
{
    private static readonly CommunicatorOptions s_options = new() { Timeout = TimeSpan.FromSeconds(60) };

    public static TheoryData<string, AllReduceAlgorithm?> Differences
    {
        get
        {
            TheoryData<string, AllReduceAlgorithm?> data = [];
            foreach (string difference in new[] { "verb", "dtype", "operator", "root", "count" }) data.Add(difference, null);
            foreach (AllReduceAlgorithm algorithm in Enum.GetValues<AllReduceAlgorithm>())
                foreach (string difference in new[] { "dtype", "operator", "count" }) data.Add(difference, algorithm);
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Differences))]
    public void A_call_that_differs_in_anything_fails_on_every_rank_and_names_both(string difference, AllReduceAlgorithm? algorithm)
    {
        List<string> messages = [];
        World.Run(WorldKind.InProcess, 4, s_options with { Algorithm = algorithm }, (communicator, device) =>
        {
            bool isOther = communicator.Rank == 2;
            DType dtype = isOther && difference == "dtype" ? DType.F64 : DType.F32;
            using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(isOther && difference == "count" ? 9 : 8), dtype);
            CollectiveVerb verb = difference == "root" || (isOther && difference == "verb") ? CollectiveVerb.Broadcast : CollectiveVerb.AllReduce;
            ReduceOp op = isOther && difference == "operator" ? ReduceOp.Max : ReduceOp.Sum;
            string message = Assert.Throws<CollectiveMismatchException>(() => communicator.Run(device.DefaultStream, new Collective(verb, tensor, tensor, op, isOther && difference == "root" ? 3 : 1))).Message;
            lock (messages) messages.Add(message);
            Assert.ThrowsAny<CollectiveException>(() => communicator.Barrier(device.DefaultStream));
        }, leavesTogether: false);
        Assert.Equal(4, messages.Count);
        Assert.All(messages, message => Assert.Contains("rank 2 ", message, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(5, DType.F32)]
    [InlineData(4, DType.I32)]
    public void A_message_of_another_size_or_type_than_expected_fails_on_both_sides(int count, DType dtype)
    {
        World.Run(WorldKind.InProcess, 2, s_options, (communicator, device) =>
        {
            using Tensor sent = Tensor.Zeros(device.DefaultStream, new Shape(4)), expected = Tensor.Zeros(device.DefaultStream, new Shape(count), dtype);
            PeerTransfer transfer = communicator.Rank == 0 ? PeerTransfer.Send(sent, 1) : PeerTransfer.Receive(expected, 0);
            Assert.Contains("rank 0 sends 4 elements of F32 to rank 1", Assert.Throws<CollectiveMismatchException>(() => communicator.Exchange(device.DefaultStream, transfer)).Message, StringComparison.Ordinal);
        }, leavesTogether: false);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(AllReduceAlgorithm.Ring)]
    [InlineData(AllReduceAlgorithm.Direct)]
    public void An_abort_at_any_moment_of_a_stream_of_sums_ends_it_on_every_rank(AllReduceAlgorithm? algorithm)
    {
        Random moments = new(7);
        for (int round = 0; round < (Environment.GetEnvironmentVariable("DISTTRAIN_SOAK") == "1" ? 500 : 15); round++)
        {
            int aborting = moments.Next(3), calls = moments.Next(40);
            World.Run(WorldKind.InProcess, 3, s_options with { Algorithm = algorithm }, (communicator, device) =>
            {
                using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(5000));
                for (int i = 0; communicator.Rank != aborting || i < calls; i++)
                {
                    if (communicator.Rank == aborting) communicator.AllReduce(device.DefaultStream, tensor);
                    else if (Failed(() => communicator.AllReduce(device.DefaultStream, tensor))) break;
                }
                if (communicator.Rank == aborting) communicator.Abort("as the test wants");
                Assert.Contains("as the test wants", Assert.Throws<CommunicatorAbortedException>(() => communicator.AllReduce(device.DefaultStream, tensor)).Message, StringComparison.Ordinal);
            }, leavesTogether: false);
        }
    }

    [Theory]
    [InlineData(CollectiveVerb.Split)]
    [InlineData(CollectiveVerb.Allocate)]
    [InlineData(CollectiveVerb.Free)]
    public void A_failed_split_or_allocation_is_failed_in_the_flight_records_too(CollectiveVerb verb)
    {
        World.Run(WorldKind.InProcess, 3, s_options, (communicator, device) =>
        {
            RegisteredMemory? memory = verb == CollectiveVerb.Free ? communicator.Allocate(device, 4096) : null;
            Assert.Throws<CollectiveMismatchException>(() =>
            {
                if (communicator.Rank == 1) communicator.Barrier(device.DefaultStream);
                else if (verb == CollectiveVerb.Split) communicator.Split(0);
                else if (verb == CollectiveVerb.Allocate) communicator.Allocate(device, 4096);
                else memory!.Dispose();
            });
            FlightRecord last = communicator.FlightRecords(communicator.Rank)[^1];
            Assert.Equal((communicator.Rank == 1 ? CollectiveVerb.Barrier : verb, FlightState.Failed), (last.Call.Verb, last.State));
            // What fails afterwards is no call any more.
            Assert.ThrowsAny<CollectiveException>(() => communicator.Split(0));
            Assert.ThrowsAny<CollectiveException>(() => communicator.Allocate(device, 4096));
            Assert.Equal(last.Call, communicator.FlightRecords(communicator.Rank)[^1].Call);
        }, leavesTogether: false);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void Memory_that_one_rank_alone_does_not_get_is_an_error_on_every_rank_at_once_and_the_ranks_go_on(int poor)
    {
        bool isPoor = true;
        InProcessGroup group = new(3);
        long start = Stopwatch.GetTimestamp();
        RankThreads.Run(3, rank =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            Func<nuint, nint> pages = new InProcessTransport(new InProcessGroup(1), 0, s_options.Timeout).Pages;
            using HostCommunicator communicator = new(new InProcessTransport(group, rank, s_options.Timeout)
            {
                Pages = byteCount => pages(rank == poor && Volatile.Read(ref isPoor) ? nuint.MaxValue / 4 : byteCount),
            }, s_options);

            CollectiveException failure = Assert.Throws<CollectiveException>(() => communicator.Allocate(device, 10_000));

            Assert.Contains($"10,000 bytes failed on rank {poor}: Insufficient memory", failure.Message, StringComparison.Ordinal);
            Assert.Equal((CollectiveVerb.Allocate, FlightState.Failed), (communicator.FlightRecords(rank)[^1].Call.Verb, communicator.FlightRecords(rank)[^1].State));
            Assert.Null(communicator.Failure);
            communicator.Barrier(device.DefaultStream);
            Volatile.Write(ref isPoor, false);
            using RegisteredMemory memory = communicator.Allocate(device, 10_000);
            Tensor tensor = memory.Tensor(new Shape(2500));
            Assert.All(tensor.AsSpan<float>().ToArray(), value => Assert.Equal(0f, value));
            communicator.AllReduce(device.DefaultStream, tensor);
            tensor.Dispose();
        }, failure => failure is CollectiveException);
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(30), $"it took {Stopwatch.GetElapsedTime(start)}");
    }

    private static bool Failed(Action call)
    {
        try
        {
            call();
            return false;
        }
        catch (CommunicatorAbortedException)
        {
            return true;
        }
    }
}
