using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.Runtime;

const long ByteCount = 1 << 20;
ICommunicator[] ranks = Communicator.InProcess(2); // threads of one process; Communicator.Connect() joins the processes of a job
Thread other = new(() => Work(ranks[1], "cpu:1/2"));
other.Start();
Work(ranks[0], "cpu:0/2");
other.Join();

void Work(ICommunicator rank, string name)
{
    using ComputeDevice device = DeviceCatalog.Open(name);
    ExecutionStream stream = device.DefaultStream;
    using Tensor gradients = Tensor.From<float>(stream, [rank.Rank + 1, 10], new Shape(2));
    rank.AllReduce(stream, gradients);                                           // sum, in place, the same bits on all ranks
    CollectiveHandle handle = rank.AllReduceAsync(stream, gradients);            // on a thread of the communicator's
    handle.Wait();
    using RegisteredMemory memory = rank.Allocate(device, ByteCount);            // what the transport moves fastest
    Console.WriteLine($"rank {rank.Rank}: {string.Join(' ', gradients.ToArray<float>(stream))}, {memory.ByteCount:N0} registered bytes");
    rank.Barrier(stream);
}

ElasticBatchPlan plan = ElasticBatchPlan.Choose(largestBatch: 10_000, microBatches: [8, 12, 16, 17], minWorkers: 32, maxWorkers: 1500);
ElasticBatch share = plan.For(workerCount: 48);   // GlobalBatch 9792 = 48 x MicroBatch 17 x AccumulationSteps 12
Console.WriteLine($"{share.GlobalBatch} = 48 x {share.MicroBatch} x {share.AccumulationSteps}");
