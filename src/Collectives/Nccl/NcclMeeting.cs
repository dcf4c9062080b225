using DistTrain.Kernels;

namespace DistTrain.Collectives;

public static partial class Communicator
{
    // NCCL's own port is part of its id; only that is handed out here: over MPI where it started the job, else over a store that rank 0 serves for as long as it takes.
    private static ICommunicator OverNccl(ClusterEnvironment job, ComputeDevice device, CommunicatorOptions options)
    {
        if (job.Engine is ClusterEngine.OpenMpi or ClusterEngine.Hydra or ClusterEngine.Mvapich or ClusterEngine.Slurm && ShimLibrary.IsTransportAvailable("mpi", out _))
        {
            using ICommunicator mpi = Mpi(new CommunicatorOptions { Timeout = options.Timeout });
            return Nccl(job.Rank, job.WorldSize, OverMpi(mpi), device, options);
        }
        return OverStore(job, options, id => Nccl(job.Rank, job.WorldSize, id, device, options));
    }

    /// <summary>Has rank 0 make an id, hands it to all ranks over a store on rank 0, and makes the communicator while the store is there: it returns once all ranks have come.</summary>
    internal static ICommunicator OverStore(ClusterEnvironment job, CommunicatorOptions options, Func<NcclUniqueId, ICommunicator> join)
    {
        JobSecret secret = JobSecret.FromEnvironment()
            ?? throw new InvalidOperationException($"the job's secret is not set, so that strangers could not be told from ranks: `disttrain launch` sets it; else set {JobSecret.Variable} to {2 * JobSecret.ByteCount} hex digits, the same for all ranks (openssl rand -hex {JobSecret.ByteCount})");
        if (job.MasterAddress is not { } address || job.MasterPort is not { } port)
            throw new NotSupportedException($"NCCL's ranks must be told where rank 0 is, and {job.Reason} does not: set MASTER_ADDR and MASTER_PORT");
        // After a restart others may still hold the last round's names.
        string jobId = $"{job.RunId ?? "job"}-{job.RestartCount}";
        using TcpStoreServer? server = job.Rank == 0 ? new TcpStoreServer(jobId, secret, new TcpStoreServerOptions { Port = port }) : null;
        using TcpStoreClient store = TcpStoreClient.Connect(server is not null ? "127.0.0.1" : address, port, jobId, secret, new TcpStoreClientOptions { ConnectTimeout = options.Timeout });
        byte[] own = server is not null ? NcclUniqueId.Create().Bytes.ToArray() : [];
        byte[][] all = store.ExchangeAll("nccl id", job.Rank, job.WorldSize, own, options.Timeout);
        return join(new NcclUniqueId(all[0]));
    }

    private static NcclUniqueId OverMpi(ICommunicator mpi)
    {
        using CpuDevice host = new("host", InstructionSets.Best, threadCount: 1);
        using Tensor bytes = Tensor.Zeros(host.DefaultStream, new Shape(NcclUniqueId.ByteCount / sizeof(int)), DType.I32);
        Span<byte> id = System.Runtime.InteropServices.MemoryMarshal.AsBytes(bytes.AsSpan<int>());
        if (mpi.Rank == 0) NcclUniqueId.Create().Bytes.CopyTo(id);
        mpi.Broadcast(host.DefaultStream, bytes);
        return new NcclUniqueId(id);
    }
}
