using DistTrain.Kernels;

namespace DistTrain.Collectives.Tests;

/// <summary>Whose memory a call may write, and who keeps memory for how long.</summary>
public sealed class InProcessMemoryTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    public void All_to_all_in_place_on_some_ranks_alone_gives_all_the_same_and_leaves_the_others_inputs_alone(int worldSize)
    {
        const int Part = 1003;
        for (int inPlace = 0; inPlace < 1 << worldSize; inPlace++)
        {
            int chosen = inPlace;
            World.Run(WorldKind.InProcess, worldSize, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) }, (communicator, device) =>
            {
                int rank = communicator.Rank;
                int[] sent = [.. Enumerable.Range(0, worldSize * Part).Select(i => (rank * 1_000_000) + i)];
                int[] expected = [.. Enumerable.Range(0, worldSize * Part).Select(i => (i / Part * 1_000_000) + (rank * Part) + (i % Part))];
                using Tensor send = Tensor.Zeros(device.DefaultStream, new Shape(sent.Length), DType.I32), apart = Tensor.Zeros(device.DefaultStream, new Shape(sent.Length), DType.I32);
                sent.CopyTo(send.AsSpan<int>());
                bool isInPlace = (chosen >> rank & 1) != 0;

                communicator.AllToAll(device.DefaultStream, send, isInPlace ? send : apart);

                Assert.Equal(expected, (isInPlace ? send : apart).AsSpan<int>().ToArray());
                if (!isInPlace) Assert.Equal(sent, send.AsSpan<int>().ToArray());
            });
        }
    }

    [Fact]
    public void A_start_with_a_tensor_that_is_gone_holds_no_memory() => World.Run(WorldKind.InProcess, 2, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) }, (communicator, device) =>
    {
        ExecutionStream stream = device.DefaultStream;
        int before = device.Pool.RentedCount;
        using (Tensor send = Tensor.Zeros(stream, new Shape(100)))
        {
            Tensor gone = Tensor.Zeros(stream, new Shape(100));
            gone.Dispose();
            // Only the root's is looked at.
            if (communicator.Rank == 0) Assert.Throws<ObjectDisposedException>(() => { communicator.ReduceAsync(stream, send, gone, root: 1); });
            if (communicator.Rank == 1) Assert.Throws<ObjectDisposedException>(() => { communicator.AllGatherAsync(stream, gone, gone); });
        }
        Assert.Equal(before, device.Pool.RentedCount);
        communicator.Barrier(stream);
    });

    [Fact]
    public void Memory_that_tensors_on_several_threads_held_goes_with_the_communicator()
    {
        InProcessTransport transport = new(new InProcessGroup(1), 0, TimeSpan.FromSeconds(20));
        nint memory = transport.Allocate(4096);
        using Barrier start = new(4);
        Thread[] holders = [.. Enumerable.Range(0, 4).Select(_ => new Thread(() =>
        {
            start.SignalAndWait();
            for (int i = 0; i < 3_000_000; i++)
            {
                transport.Hold();
                transport.Release();
            }
        }))];
        foreach (Thread holder in holders) holder.Start();
        foreach (Thread holder in holders) holder.Join();

        transport.Dispose();

        Assert.Throws<ArgumentException>(() => transport.Free(memory));
    }

    [Fact]
    public void Staging_that_found_no_memory_for_a_large_tensor_still_serves_small_ones()
    {
        using CpuDevice device = new("cpu", InstructionSets.Chosen(), 1);
        using HostStaging staging = new(device);
        Assert.NotEqual(0, staging.Room(4096));

        Assert.Throws<OutOfMemoryException>(() => staging.Room(1L << 60));

        Assert.NotEqual(0, staging.Room(64));
    }

    [Fact]
    public void A_tensor_made_while_another_thread_lets_go_of_the_last_one_holds_the_memory()
    {
        using CpuDevice device = new("cpu", InstructionSets.Chosen(), 1);
        using ICommunicator communicator = Communicator.InProcess(1)[0];
        RegisteredMemory memory = communicator.Allocate(device, 4096);
        for (int round = 0; round < 20_000; round++)
        {
            Tensor first = memory.Tensor(new Shape(16));
            CollectiveHandle handle = communicator.AllReduceAsync(device.DefaultStream, first);
            first.Dispose();
            Tensor next = memory.Tensor(new Shape(16));
            while (!handle.IsCompleted) Thread.Yield();
            Assert.Throws<InvalidOperationException>(memory.Dispose);
            next.Dispose();
        }
        memory.Dispose();
    }

    [Fact]
    public void A_first_tensor_that_does_not_fit_leaves_nothing_in_the_memory()
    {
        using CpuDevice device = new("cpu", InstructionSets.Chosen(), 1);
        using ICommunicator communicator = Communicator.InProcess(1)[0];
        RegisteredMemory memory = communicator.Allocate(device, 4096);

        Assert.ThrowsAny<ArgumentException>(() => memory.Tensor(new Shape(1025)));

        memory.Dispose();
    }
}
