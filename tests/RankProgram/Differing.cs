using DistTrain.Collectives;
using DistTrain.Kernels;

/// <summary>MPI's own verbs with <see cref="CommunicatorOptions.CheckCalls"/>: after calls that agree, rank 1 wants something else, and every rank must hear of both calls.</summary>
internal static class Differing
{
    internal static int Run()
    {
        using CpuDevice device = new("cpu", InstructionSets.Best, threadCount: 1);
        using ICommunicator communicator = Communicator.Mpi(new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60), CheckCalls = true });
        using Tensor tensor = Tensor.Zeros(device.DefaultStream, new Shape(10));
        communicator.AllReduce(device.DefaultStream, tensor);
        communicator.Broadcast(device.DefaultStream, tensor, 1);
        try
        {
            if (communicator.Rank == 1) communicator.Broadcast(device.DefaultStream, tensor, 0);
            else communicator.AllReduce(device.DefaultStream, tensor, ReduceOp.Max);
        }
        catch (CollectiveMismatchException mismatch)
        {
            bool namesBoth = mismatch.Message.Contains("all_reduce(f32, max, 10 elements)", StringComparison.Ordinal) && mismatch.Message.Contains("broadcast(f32, ", StringComparison.Ordinal);
            Console.WriteLine(namesBoth ? $"rank {communicator.Rank}: both calls are named" : $"rank {communicator.Rank}: {mismatch.Message}");
            Console.Out.Flush();
            // MPI is not finalised behind a failure, so that the launcher stops the others when the first has ended: after they have spoken.
            Thread.Sleep(1000);
            return 0;
        }
        Console.WriteLine($"rank {communicator.Rank}: no difference was seen");
        return 1;
    }
}
