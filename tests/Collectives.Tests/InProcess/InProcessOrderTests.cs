using DistTrain.Kernels;

namespace DistTrain.Collectives.Tests;

/// <summary>Ranks of one process that are never far apart and never at the same place.</summary>
public sealed class InProcessOrderTests
{
    [Fact]
    public async Task A_rank_that_leaves_a_barrier_first_may_begin_its_next_call_while_others_still_compare_the_barrier()
    {
        const int Rounds = 20_000;
        ICommunicator[] ranks = Communicator.InProcess(2, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(20) });

        await Task.WhenAll(ranks.Select(rank => Task.Factory.StartNew(() => BarriersAndSums(rank, Rounds), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)));

        foreach (ICommunicator rank in ranks) Assert.Equal(2UL * Rounds, rank.FlightRecords(rank.Rank)[^1].Call.Sequence);
        foreach (ICommunicator rank in ranks) rank.Dispose();
    }

    private static void BarriersAndSums(ICommunicator rank, int rounds)
    {
        using CpuDevice device = new("cpu", InstructionSets.Chosen(), 1);
        using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(3));
        for (int round = 0; round < rounds; round++)
        {
            tensor.AsSpan<float>().Fill(round + rank.Rank);
            rank.Barrier(device.DefaultStream);
            rank.AllReduce(device.DefaultStream, tensor);
            if (tensor.AsSpan<float>()[2] != (2 * round) + 1) throw new InvalidOperationException($"round {round}: {tensor.AsSpan<float>()[2]}");
        }
    }
}
