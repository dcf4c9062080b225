using DistTrain.Kernels;

namespace DistTrain.Collectives.Tests;

/// <summary>NCCL itself, on one GPU with one rank: it refuses two ranks on one device.</summary>
public sealed class NcclOnCudaTests
{
    [Fact]
    public void One_rank_on_a_GPU_reduces_gathers_and_waits()
    {
        if (!StandIns.AreUsed && !ShimLibrary.IsTransportAvailable("nccl", out string problem)) Assert.Skip(problem);
        if (StandIns.AreUsed || DeviceCatalog.List().FirstOrDefault(device => device.Name == "cuda:0") is not { Unusable: null }) Assert.Skip("cuda:0: no CUDA device");
        using ComputeDevice device = DeviceCatalog.Open("cuda:0");
        using ICommunicator communicator = Communicator.Nccl(0, 1, NcclUniqueId.Create(), device);
        ExecutionStream stream = device.DefaultStream;
        float[] numbers = [.. Enumerable.Range(0, 100_000).Select(i => (float)i)];
        using Tensor send = Tensor.From(stream, numbers, new Shape(numbers.Length)), receive = Tensor.Zeros(stream, new Shape(numbers.Length));
        communicator.AllReduce(stream, send, receive);
        Assert.Equal(numbers, receive.ToArray<float>(stream));
        CollectiveHandle handle = communicator.AllReduceAsync(stream, receive, ReduceOp.Average);
        handle.WaitOn(stream);
        Elementwise.Add(stream, receive, receive, send);
        communicator.AllGather(stream, receive, send);
        communicator.Barrier(stream);
        Assert.Equal(numbers.Select(number => 2 * number), send.ToArray<float>(stream));
    }
}
