using System.Runtime.ExceptionServices;
using DistTrain.Collectives;

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

    private static void Run(int worldSize, Func<int, ICommunicator> join, Action<int, ICommunicator> replica)
    {
        Exception?[] failures = new Exception?[worldSize];
        Thread[] threads = [.. Enumerable.Range(0, worldSize).Select(rank => new Thread(() =>
        {
            try
            {
                using ICommunicator communicator = join(rank);
                replica(rank, communicator);
                // Nobody leaves before all are done.
                communicator.Barrier(TestKit.TestDevices.Get(TestKit.TestDevice.Vector128).DefaultStream);
            }
#pragma warning disable CA1031 // Thrown below, on the test's thread.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                failures[rank] = failure;
            }
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        // The others only lost a peer.
        if ((failures.FirstOrDefault(f => f is not null and not CommunicatorLostException) ?? failures.FirstOrDefault(f => f is not null)) is { } first) ExceptionDispatchInfo.Throw(first);
    }
}
