using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Collectives.Tests;

/// <summary>How the communicators of a test's world are made.</summary>
public enum WorldKind
{
    InProcess,
    SharedMemory,
}

/// <summary>Ranks as threads, each with a communicator and a device; throws what the first of them threw.</summary>
internal static class World
{
    internal static void Run(WorldKind kind, int worldSize, CommunicatorOptions options, Action<ICommunicator, CpuDevice> program, bool leavesTogether = true)
    {
        ICommunicator[]? all = kind == WorldKind.InProcess ? Communicator.InProcess(worldSize, options) : null;
        string address = $"@disttrain-world-{Environment.ProcessId}-{Guid.NewGuid():N}";
        RankThreads.Run(worldSize, rank =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            using ICommunicator communicator = all?[rank] ?? Communicator.SharedMemory(rank, worldSize, address, [1, 2, 3], options);
            Guard(communicator, () => program(communicator, device));
            if (leavesTogether) communicator.Barrier(device.DefaultStream);
        }, failure => failure is CollectiveException);
    }

    // A failed check of one rank must not leave the others waiting.
    private static void Guard(ICommunicator communicator, Action program)
    {
        try
        {
            program();
        }
        catch (Exception failure) when (failure is not CollectiveException)
        {
            communicator.Abort(failure.Message);
            throw;
        }
    }
}
