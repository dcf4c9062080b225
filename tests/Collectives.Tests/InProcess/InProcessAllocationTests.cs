using DistTrain.Kernels;

namespace DistTrain.Collectives.Tests;

/// <summary>A call that was made before allocates nothing that is collected, whatever its type and algorithm.</summary>
public sealed class InProcessAllocationTests
{
    [Theory]
    [InlineData(null)]
    [InlineData(AllReduceAlgorithm.Ring)]
    [InlineData(AllReduceAlgorithm.Direct)]
    [InlineData(AllReduceAlgorithm.Tree)]
    [InlineData(AllReduceAlgorithm.DoubleTree)]
    [InlineData(AllReduceAlgorithm.RecursiveDoubling)]
    public void Collectives_and_messages_allocate_nothing(AllReduceAlgorithm? algorithm)
    {
        World.Run(WorldKind.InProcess, 3, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60), Algorithm = algorithm, SegmentByteCount = 4096 }, (communicator, device) =>
        {
            foreach (DType dtype in TestValues.Types)
            {
                ExecutionStream stream = device.DefaultStream;
                using Tensor whole = Tensor.Zeros(stream, new Shape(6000), dtype), other = Tensor.Zeros(stream, new Shape(6000), dtype), part = Tensor.Zeros(stream, new Shape(2000), dtype);
                // What a call allocates, every round has. The runtime itself allocates some 200 bytes on a thread now and then while other code of the process is compiled.
                long least = long.MaxValue;
                for (int round = 0; round < 5; round++)
                {
                    long before = GC.GetAllocatedBytesForCurrentThread();
                    for (int i = 0; i < 10; i++) CallAll(communicator, stream, whole, other, part);
                    if (round > 0) least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
                }
                Assert.Equal((dtype, 0), (dtype, least));
            }
        });
    }

    private static void CallAll(ICommunicator communicator, ExecutionStream stream, Tensor whole, Tensor other, Tensor part)
    {
        communicator.Run(stream, new Collective(CollectiveVerb.AllReduce, whole, other, ReduceOp.Average, 1));
        communicator.Run(stream, new Collective(CollectiveVerb.Broadcast, whole, other, ReduceOp.Average, 1));
        communicator.Run(stream, new Collective(CollectiveVerb.Reduce, whole, other, ReduceOp.Average, 1));
        communicator.Run(stream, new Collective(CollectiveVerb.AllToAll, whole, other, ReduceOp.Average, 1));
        communicator.Run(stream, new Collective(CollectiveVerb.ReduceScatter, whole, part));
        communicator.Run(stream, new Collective(CollectiveVerb.AllGather, part, whole));
        communicator.Barrier(stream);
        communicator.Exchange(stream, PeerTransfer.Send(whole, (communicator.Rank + 1) % 3), PeerTransfer.ReceiveReduce(other, (communicator.Rank + 2) % 3));
    }
}
