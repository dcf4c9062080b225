namespace DistTrain.Collectives;

public static partial class Communicator
{
    /// <summary>
    /// Joins threads of this process, a communicator each. Needs no native library.
    /// </summary>
    /// <param name="worldSize">Ranks, 1 to 128.</param>
    /// <param name="options">For all of them.</param>
    /// <returns>The communicators by rank, each to be used from one thread and disposed by it.</returns>
    public static ICommunicator[] InProcess(int worldSize, CommunicatorOptions? options = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(worldSize, 128);
        options ??= new CommunicatorOptions();
        options.Check();
        InProcessGroup group = new(worldSize);
        return [.. Enumerable.Range(0, worldSize).Select(rank => new HostCommunicator(new InProcessTransport(group, rank, options.Timeout), options))];
    }
}
