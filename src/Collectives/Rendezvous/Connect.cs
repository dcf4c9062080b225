using DistTrain.Kernels;

namespace DistTrain.Collectives;

public static partial class Communicator
{
    /// <summary>
    /// Joins the processes that an engine started as one job: over NCCL where each has a GPU of its own, over MPI where an MPI launcher started them, over shared memory where all are on one host.
    /// Blocks until all are there, at most for the options' timeout.
    /// </summary>
    /// <param name="environment">Which process this is; null: <see cref="ClusterEnvironment.Detect()"/>.</param>
    /// <param name="options">The same on all ranks.</param>
    /// <param name="transport"><c>shm</c>, <c>mpi</c> or <c>nccl</c>; null: chosen as above, alike on all ranks if their devices are of one kind.</param>
    /// <param name="device">This process's device, for NCCL; null: none that is a GPU.</param>
    /// <returns>A communicator of one rank where the process is alone.</returns>
    /// <exception cref="NotSupportedException">Nothing here can join these processes; the message says what to use instead.</exception>
    /// <exception cref="InvalidOperationException">The job's secret is not set, or the engine left the node's ranks to a launcher.</exception>
    /// <exception cref="CollectiveTimeoutException">Ranks are missing; the message names them.</exception>
    public static ICommunicator Connect(ClusterEnvironment? environment = null, CommunicatorOptions? options = null, string? transport = null, ComputeDevice? device = null)
    {
        ClusterEnvironment job = environment ?? ClusterEnvironment.Detect();
        if (job.NeedsLauncher) throw new InvalidOperationException($"{job.Reason}: start the program there by `disttrain launch --nproc-per-node N -- PROGRAM`, which starts the node's ranks");
        if (job.WorldSize == 1) return InProcess(1, options)[0];
        return (transport ?? Choose(job, device)) switch
        {
            "nccl" => OverNccl(job, device ?? throw new ArgumentException("NCCL joins CUDA devices: name this process's device", nameof(device)), options ?? new CommunicatorOptions()),
            "shm" => OverSharedMemory(job, options ?? new CommunicatorOptions()),
            "mpi" => Mpi(options),
            string other => throw new NotSupportedException($"processes can't be joined over '{other}'; over shm (one host), mpi and nccl (GPUs) they can"),
        };
    }

    private static string Choose(ClusterEnvironment job, ComputeDevice? device)
    {
        if (device is { Kind: DeviceKind.Cuda } && ShimLibrary.IsTransportAvailable("nccl", out _)) return "nccl";
        string problem = "";
        if (job.Engine is ClusterEngine.OpenMpi or ClusterEngine.Hydra or ClusterEngine.Mvapich or ClusterEngine.Slurm && ShimLibrary.IsTransportAvailable("mpi", out problem)) return "mpi";
        if (IsOneHost(job)) return "shm";
        throw new NotSupportedException($"{job.WorldSize} processes on several hosts can't be joined here ({job.Reason}). Start them by mpirun, or by srun with an MPI plug-in, and have the MPI library in reach; or have a GPU for each, and NCCL"
            + (problem.Length > 0 ? $": {problem}" : ""));
    }

    private static ICommunicator OverSharedMemory(ClusterEnvironment job, CommunicatorOptions options)
    {
        if (!IsOneHost(job)) throw new NotSupportedException($"shared memory joins processes of one host; here are {job.WorldSize} processes, {job.LocalWorldSize?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "?"} of them on this host ({job.Reason})");
        JobSecret secret = JobSecret.FromEnvironment()
            ?? throw new InvalidOperationException($"the job's secret is not set, so that strangers could not be told from ranks: `disttrain launch` sets it; else set {JobSecret.Variable} to {2 * JobSecret.ByteCount} hex digits, the same for all ranks (openssl rand -hex {JobSecret.ByteCount})");
        string name = job.Rendezvous ?? $"@disttrain-{job.RunId ?? "job"}-{job.MasterPort ?? 0}-{job.RestartCount}";
        return SharedMemory(job.Rank, job.WorldSize, name, Convert.FromHexString(secret.ToHex()), options);
    }

    private static bool IsOneHost(ClusterEnvironment job) => job.NodeCount == 1 || job.LocalWorldSize == job.WorldSize;
}
