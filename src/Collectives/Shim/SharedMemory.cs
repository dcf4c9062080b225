namespace DistTrain.Collectives;

/// <summary>Makes communicators.</summary>
public static partial class Communicator
{
    /// <summary>
    /// Joins processes of one host over shared memory; blocks until all are there, at most for the options' timeout. Which processes belong together is told by address and secret; memory has
    /// no name and is gone with the last process, however it ends.
    /// </summary>
    /// <param name="rank">This process, 0 to <paramref name="worldSize"/> - 1.</param>
    /// <param name="worldSize">Processes, at most 128.</param>
    /// <param name="address">Where rank 0 is met: <c>@name</c> (an abstract Unix socket) or a path in a folder that only this user can write; the same on all ranks.</param>
    /// <param name="secret">The job's secret, 1 to 64 bytes, the same on all ranks; a process with another one is refused.</param>
    /// <param name="options">The same on all ranks.</param>
    /// <exception cref="CollectiveTimeoutException">Ranks are missing; the message names them.</exception>
    /// <exception cref="CollectiveException">Another job's process was met, or a system call failed.</exception>
    /// <exception cref="DllNotFoundException">The native library can't be loaded; the message names every path tried.</exception>
    public static ICommunicator SharedMemory(int rank, int worldSize, string address, ReadOnlySpan<byte> secret, CommunicatorOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(address);
        options ??= new CommunicatorOptions();
        return new HostCommunicator(ShimTransport.Join(ShimTransportNumber.SharedMemory, rank, worldSize, address, secret, options), options);
    }
}
