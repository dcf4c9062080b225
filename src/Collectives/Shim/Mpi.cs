namespace DistTrain.Collectives;

public static partial class Communicator
{
    /// <summary>
    /// Joins the processes that <c>mpirun</c>, <c>mpiexec</c> or <c>srun</c> started, over their MPI library, which is loaded at run time. Rank and size are MPI's. MPI is initialised once a
    /// process; what it can't survive (a process that dies) ends the job by the launcher.
    /// </summary>
    /// <param name="options">The same on all ranks.</param>
    /// <exception cref="NotSupportedException">No MPI launcher started this process, or its library can't be loaded; the message says which files were tried.</exception>
    /// <exception cref="DllNotFoundException">The native library can't be loaded; the message names every path tried.</exception>
    public static ICommunicator Mpi(CommunicatorOptions? options = null)
    {
        options ??= new CommunicatorOptions();
        // -1 of 0: as MPI says.
        return new HostCommunicator(ShimTransport.Join(ShimTransportNumber.Mpi, -1, 0, address: null, secret: [], options), options);
    }
}
