using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Collectives;

public static partial class Communicator
{
    /// <summary>
    /// Joins GPUs of one machine or many over NCCL, which is loaded at run time: a rank each, in processes of their own or as threads of one. Collectives work on the streams of the tensors' device
    /// and return when they are enqueued. Blocks until all ranks are there.
    /// </summary>
    /// <param name="rank">This one, 0 to <paramref name="worldSize"/> - 1.</param>
    /// <param name="worldSize">Ranks, each with a GPU of its own.</param>
    /// <param name="id">What rank 0 created, the same on all ranks.</param>
    /// <param name="device">The CUDA device of this rank; stays the caller's and must outlive the communicator.</param>
    /// <param name="options">The same on all ranks.</param>
    /// <exception cref="ArgumentException">The device is no CUDA device.</exception>
    /// <exception cref="NotSupportedException">NCCL or the CUDA driver can't be used; the message says why.</exception>
    /// <exception cref="CollectiveTimeoutException">Ranks are missing.</exception>
    public static ICommunicator Nccl(int rank, int worldSize, NcclUniqueId id, ComputeDevice device, CommunicatorOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(id);
        ArgumentNullException.ThrowIfNull(device);
        if (device.Kind != DeviceKind.Cuda) throw new ArgumentException($"NCCL joins CUDA devices, {device.Name} is {device.Kind}: use shared memory, MPI or threads of one process", nameof(device));
        return Nccl(rank, worldSize, id, device, OrdinalOf(device), options ?? new CommunicatorOptions());
    }

    /// <summary>The same for all GPUs of one process: a communicator each, in the order of the devices.</summary>
    public static ICommunicator[] Nccl(IReadOnlyList<ComputeDevice> devices, CommunicatorOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(devices);
        NcclUniqueId id = NcclUniqueId.Create();
        ICommunicator[] communicators = new ICommunicator[devices.Count];
        Exception?[] failures = new Exception?[devices.Count];
        // Each rank waits for the others: a thread each.
        Thread[] threads = [.. Enumerable.Range(0, devices.Count).Select(rank => new Thread(() =>
        {
            try
            {
                communicators[rank] = Nccl(rank, devices.Count, id, devices[rank], options);
            }
#pragma warning disable CA1031 // Thrown below.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                failures[rank] = failure;
            }
        }) { Name = $"joins rank {rank}" })];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        if (failures.FirstOrDefault(failure => failure is not null) is not { } first) return communicators;
        foreach (ICommunicator? communicator in communicators) communicator?.Dispose();
        System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(first);
        return communicators;
    }

    /// <summary>Without a look at the device's kind: the stand-ins of the tests have their memory on the host.</summary>
    internal static ICommunicator Nccl(int rank, int worldSize, NcclUniqueId id, ComputeDevice device, int ordinal, CommunicatorOptions options) =>
        new NcclCommunicator(ShimTransport.JoinNccl(rank, worldSize, id, ordinal, options), device, options);

    // "cuda:3" is the driver's device 3.
    private static int OrdinalOf(ComputeDevice device) => int.Parse(device.Name.AsSpan(device.Name.IndexOf(':', StringComparison.Ordinal) + 1), NumberStyles.None, CultureInfo.InvariantCulture);
}
