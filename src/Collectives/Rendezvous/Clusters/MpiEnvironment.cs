namespace DistTrain.Collectives;

/// <summary>Processes that an MPI launcher started. Their own variables win over Slurm's, which in a step that runs mpirun belong to mpirun's daemon.</summary>
internal static class MpiEnvironment
{
    // OMPI_COMM_WORLD_NODE_RANK is the rank on the node, whatever its name says, so it's not read.
    internal static ClusterEnvironment? DetectOpenMpi(ClusterVariables set) =>
        !set.Has("OMPI_COMM_WORLD_RANK") ? null : Read(set, ClusterEngine.OpenMpi, "Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", "PMIX_NAMESPACE");

    internal static ClusterEnvironment? DetectHydra(ClusterVariables set)
    {
        if (!set.Has("PMI_RANK") || !set.Has("PMI_SIZE")) return null;
        // srun --mpi=pmi2 sets PMI_RANK and PMI_SIZE too: equal to its own, and Slurm says more about nodes.
        if (!set.Has("MPI_LOCALRANKID") && set.Has("SLURM_STEP_NUM_TASKS") && set.Text("PMI_SIZE") == set.Text("SLURM_STEP_NUM_TASKS") && set.Text("PMI_RANK") == set.Text("SLURM_PROCID")) return null;
        return Read(set, ClusterEngine.Hydra, "MPICH (Hydra, PMI)", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", "PMI_JOBID");
    }

    internal static ClusterEnvironment? DetectMvapich(ClusterVariables set) =>
        !set.Has("MV2_COMM_WORLD_RANK") ? null : Read(set, ClusterEngine.Mvapich, "MVAPICH", "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE", "MPIRUN_ID");

    private static ClusterEnvironment Read(ClusterVariables set, ClusterEngine engine, string title, string rankName, string sizeName, string localRankName, string localSizeName, string runName)
    {
        int worldSize = set.Number(sizeName, 1);
        int rank = set.Index(rankName, sizeName, worldSize);
        int? localSize = set.PartIfSet(localSizeName, sizeName, worldSize);
        int? localRank = set.IndexIfSet(localRankName, localSize is null ? sizeName : localSizeName, localSize ?? worldSize);
        if (localRank is null && worldSize > 1) throw new ClusterEnvironmentException(localRankName, null, $"this process' number on its host, as {sizeName}={worldSize}");
        string inside = set.Has("SLURM_STEP_NUM_TASKS") ? "; Slurm's variables belong to its daemon and are not used" : "";
        return new ClusterEnvironment
        {
            Engine = engine,
            Rank = rank,
            WorldSize = worldSize,
            LocalRank = localRank ?? 0,
            LocalWorldSize = localSize ?? (worldSize == 1 ? 1 : null),
            NodeRank = localSize == worldSize || worldSize == 1 ? 0 : null,
            NodeCount = localSize == worldSize || worldSize == 1 ? 1 : null,
            RunId = set.Text(runName),
            Reason = $"{title}: {rankName}={rank} of {sizeName}={worldSize}, {localRankName}={localRank ?? 0}{inside}",
        };
    }
}
