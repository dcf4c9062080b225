using DistTrain.Collectives;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>Runs the replicas of a test, a thread each, and throws what the first of them threw.</summary>
internal static class ReplicaThreads
{
    internal static void Run(int worldSize, Action<int, ICommunicator> replica, CommunicatorOptions? options = null)
    {
        ICommunicator[] all = Communicator.InProcess(worldSize, options ?? new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) });
        Run(worldSize, rank => all[rank], replica);
    }

    internal static void RunOverSharedMemory(int worldSize, Action<int, ICommunicator> replica, CommunicatorOptions options)
    {
        string address = $"@disttrain-replicas-{Environment.ProcessId}-{Guid.NewGuid():N}";
        Run(worldSize, rank => Communicator.SharedMemory(rank, worldSize, address, [1, 2, 3], options), replica);
    }

    private static void Run(int worldSize, Func<int, ICommunicator> join, Action<int, ICommunicator> replica) => RankThreads.Run(worldSize, rank =>
    {
        using ICommunicator communicator = join(rank);
        replica(rank, communicator);
        // Nobody leaves before all are done.
        communicator.Barrier(TestDevices.Get(TestDevice.Vector128).DefaultStream);
    }, failure => failure is CommunicatorLostException);
}
