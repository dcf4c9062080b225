using CsCheck;

namespace DistTrain.Collectives.Tests;

public sealed class ClusterEnvironmentTests
{
    // As each launcher was seen to set them.
    private const string Torchrun = "RANK=3 WORLD_SIZE=4 LOCAL_RANK=1 LOCAL_WORLD_SIZE=2 GROUP_RANK=1 MASTER_ADDR=h MASTER_PORT=29400 TORCHELASTIC_RESTART_COUNT=2 TORCHELASTIC_RUN_ID=r";
    private const string OpenMpi = "OMPI_COMM_WORLD_RANK=3 OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_RANK=1 OMPI_COMM_WORLD_LOCAL_SIZE=2 OMPI_COMM_WORLD_NODE_RANK=1 OMPI_UNIVERSE_SIZE=8 PMIX_RANK=3 PMIX_NAMESPACE=7";
    private const string Hydra = "PMI_RANK=2 PMI_SIZE=4 PMI_FD=6 MPI_LOCALRANKID=2 MPI_LOCALNRANKS=4";
    private const string Mvapich = "MV2_COMM_WORLD_RANK=3 MV2_COMM_WORLD_SIZE=4 MV2_COMM_WORLD_LOCAL_RANK=1 MV2_COMM_WORLD_LOCAL_SIZE=2";
    private const string Slurm = "SLURM_JOB_ID=123456 SLURM_STEP_ID=0 SLURM_PROCID=3 SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4 SLURM_LOCALID=1 SLURM_NODEID=1 SLURM_NNODES=2 "
        + "SLURM_STEP_TASKS_PER_NODE=2(x2) SLURM_STEP_NODELIST=n[1-2] SLURM_JOB_NODELIST=n[1-4]";
    private const string Batch = "SLURM_JOB_ID=17 SLURM_PROCID=0 SLURM_NTASKS=4 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_NNODES=2 SLURM_JOB_NODELIST=n[1-2]";
    private const string PyTorchJob = "RANK=1 WORLD_SIZE=3 MASTER_ADDR=job-master-0 MASTER_PORT=23456 KUBERNETES_SERVICE_HOST=10.0.0.1";
    private const string TrainJob = "PET_NNODES=2 PET_NPROC_PER_NODE=4 PET_NODE_RANK=1 PET_MASTER_ADDR=j-node-0-0.j PET_MASTER_PORT=29500 KUBERNETES_SERVICE_HOST=10.0.0.1";
    private const string IndexedJob = "JOB_COMPLETION_INDEX=2 WORLD_SIZE=4 KUBERNETES_SERVICE_HOST=10.0.0.1";

    [Theory]
    [InlineData(Torchrun, ClusterEngine.Torchrun, 3, 4, 1, 2, 1, "h", 29400)]
    [InlineData(Torchrun + " DISTTRAIN_RENDEZVOUS=@x", ClusterEngine.Launcher, 3, 4, 1, 2, 1, "h", 29400)]
    [InlineData("RANK=0 WORLD_SIZE=1 LOCAL_RANK=0", ClusterEngine.Torchrun, 0, 1, 0, null, null, null, null)]
    [InlineData(OpenMpi, ClusterEngine.OpenMpi, 3, 4, 1, 2, null, null, null)]
    [InlineData(Hydra, ClusterEngine.Hydra, 2, 4, 2, 4, 0, "127.0.0.1", null)]
    [InlineData(Mvapich, ClusterEngine.Mvapich, 3, 4, 1, 2, null, null, null)]
    [InlineData(Slurm, ClusterEngine.Slurm, 3, 4, 1, 2, 1, "n1", 18456)]
    [InlineData(Slurm + " PMI_RANK=3 PMI_SIZE=4 PMI_JOBID=1", ClusterEngine.Slurm, 3, 4, 1, 2, 1, "n1", 18456)]
    [InlineData(Slurm + " PMIX_RANK=3 PMIX_NAMESPACE=slurm", ClusterEngine.Slurm, 3, 4, 1, 2, 1, "n1", 18456)]
    [InlineData(PyTorchJob, ClusterEngine.Kubeflow, 1, 3, 0, 1, 1, "job-master-0", 23456)]
    [InlineData(TrainJob, ClusterEngine.Kubeflow, 4, 8, 0, 4, 1, "j-node-0-0.j", 29500)]
    [InlineData(TrainJob + " RANK=1 WORLD_SIZE=8", ClusterEngine.Kubeflow, 4, 8, 0, 4, 1, "j-node-0-0.j", 29500)]
    [InlineData("PET_NNODES=1:4 PET_NPROC_PER_NODE=2 PET_RDZV_ENDPOINT=a:9 PET_RDZV_BACKEND=c10d", ClusterEngine.Kubeflow, 0, 8, 0, 2, null, "a", 9)]
    [InlineData(IndexedJob, ClusterEngine.IndexedJob, 2, 4, 0, 1, 2, "job-0.net.svc", 29500)]
    [InlineData("""TF_CONFIG={"cluster":{"chief":["c:1"],"worker":["a:2","a:3"],"ps":["p:4"]},"task":{"type":"worker","index":1}}""", ClusterEngine.TfConfig, 2, 3, 1, 2, null, "c", 1)]
    [InlineData("""TF_CONFIG={"cluster":{"worker":["a:2","b:2"]},"task":{"type":"worker","index":"1"}}""", ClusterEngine.TfConfig, 1, 2, 0, 1, null, "a", 2)]
    [InlineData("", ClusterEngine.SingleProcess, 0, 1, 0, 1, 0, "127.0.0.1", null)]
    public void Each_engine_is_known_by_its_variables(
        string variables, ClusterEngine engine, int rank, int worldSize, int localRank, int? localWorldSize, int? nodeRank, string? address, int? port)
    {
        ClusterEnvironment found = Detect(variables);

        Assert.Equal(
            (engine, rank, worldSize, localRank, localWorldSize, nodeRank, address, port),
            (found.Engine, found.Rank, found.WorldSize, found.LocalRank, found.LocalWorldSize, found.NodeRank, found.MasterAddress, found.MasterPort));
        Assert.DoesNotContain('\n', found.Reason);
    }

    [Fact]
    public void Restarts_and_the_run_are_torchruns()
    {
        ClusterEnvironment found = Detect(Torchrun);

        Assert.Equal((2, "r"), (found.RestartCount, found.RunId));
        Assert.Equal("torchrun's variables: RANK=3 of WORLD_SIZE=4, LOCAL_RANK=1 of LOCAL_WORLD_SIZE=2, node 1", found.Reason);
    }

    [Theory]
    [InlineData(Torchrun + " " + OpenMpi + " " + Slurm, ClusterEngine.Torchrun)]
    [InlineData(Slurm + " OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=8 OMPI_COMM_WORLD_LOCAL_RANK=0 OMPI_COMM_WORLD_LOCAL_SIZE=4", ClusterEngine.OpenMpi)]
    [InlineData(Slurm + " PMI_RANK=0 PMI_SIZE=8 MPI_LOCALRANKID=0 MPI_LOCALNRANKS=4", ClusterEngine.Hydra)]
    [InlineData(Slurm + " PMI_RANK=0 PMI_SIZE=4 MPI_LOCALRANKID=0 MPI_LOCALNRANKS=2", ClusterEngine.Hydra)]
    [InlineData(Slurm + " " + Mvapich, ClusterEngine.Slurm)]
    [InlineData(Mvapich + " " + TrainJob, ClusterEngine.Mvapich)]
    [InlineData(TrainJob + " " + IndexedJob, ClusterEngine.Kubeflow)]
    [InlineData(PyTorchJob + " LOCAL_RANK=0", ClusterEngine.Torchrun)]
    [InlineData(IndexedJob + " TF_CONFIG={}", ClusterEngine.IndexedJob)]
    public void The_inner_engine_wins_where_several_have_set_variables(string variables, ClusterEngine engine) => Assert.Equal(engine, Detect(variables).Engine);

    [Theory]
    [InlineData(Batch, "start the program by srun")]
    [InlineData("K_MPI_JOB_ROLE=launcher", "start the program by mpirun")]
    [InlineData("JOB_COMPLETION_INDEX=1", "without WORLD_SIZE")]
    [InlineData(Batch + " WORLD_SIZE=4", "start the program by srun")]
    [InlineData("PBS_JOBID=7.server", "PBS_JOBID is set: start the program by the cluster's mpirun, or by disttrain launch")]
    [InlineData("LSB_JOBID=7", "LSB_JOBID is set")]
    [InlineData("FLUX_JOB_ID=f7", "FLUX_JOB_ID is set")]
    [InlineData("RANK=0", "no engine's variables are set")]
    [InlineData("WORLD_SIZE=1", "no engine's variables are set")]
    public void What_only_looks_like_a_job_is_one_process_with_a_hint(string variables, string hint)
    {
        ClusterEnvironment found = Detect(variables);

        Assert.Equal((ClusterEngine.SingleProcess, 0, 1), (found.Engine, found.Rank, found.WorldSize));
        Assert.Contains(hint, found.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(PyTorchJob, false)]
    [InlineData(PyTorchJob + " RANK=0 PET_NPROC_PER_NODE=3", true)]
    [InlineData(TrainJob, true)]
    [InlineData("PET_NNODES=1:2 PET_NPROC_PER_NODE=1", true)]
    public void Kubeflow_leaves_several_ranks_of_a_pod_to_a_launcher(string variables, bool needsLauncher)
    {
        ClusterEnvironment found = Detect(variables);

        Assert.Equal(needsLauncher, found.NeedsLauncher);
        Assert.Equal(needsLauncher, found.Reason.Contains("must be the launcher", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("RANK=4 WORLD_SIZE=4 LOCAL_RANK=0", "RANK='4': expected less than WORLD_SIZE=4")]
    [InlineData("RANK=-1 WORLD_SIZE=4 LOCAL_RANK=0", "RANK='-1': expected a whole number from 0 to 1048576")]
    [InlineData("RANK=x WORLD_SIZE=4 LOCAL_RANK=0", "RANK='x': expected a whole number")]
    [InlineData("RANK=1 WORLD_SIZE=0 LOCAL_RANK=0", "WORLD_SIZE='0': expected a whole number from 1")]
    [InlineData("RANK=1 WORLD_SIZE=4 LOCAL_RANK=2 LOCAL_WORLD_SIZE=2", "LOCAL_RANK='2': expected less than LOCAL_WORLD_SIZE=2")]
    [InlineData("RANK=1 WORLD_SIZE=4 LOCAL_RANK=1 LOCAL_WORLD_SIZE=5", "LOCAL_WORLD_SIZE='5': expected at most WORLD_SIZE=4")]
    [InlineData("RANK=1 WORLD_SIZE=4 LOCAL_RANK=1 MASTER_PORT=70000", "MASTER_PORT='70000': expected a whole number from 1 to 65535")]
    [InlineData("RANK=1 WORLD_SIZE=4", "LOCAL_RANK is not set: expected this process' number on its host")]
    [InlineData("WORLD_SIZE=4", "RANK is not set: expected this process' number, as WORLD_SIZE=4 is set")]
    [InlineData("WORLD_SIZE=4 LOCAL_RANK=1", "RANK is not set: expected this process' number, as WORLD_SIZE=4 is set")]
    [InlineData("RANK=3", "WORLD_SIZE is not set: expected the number of processes, as RANK=3 is set")]
    [InlineData("RANK=3 LOCAL_RANK=1 MASTER_ADDR=h", "WORLD_SIZE is not set: expected the number of processes, as RANK=3 is set")]
    [InlineData("WORLD_SIZE=x", "WORLD_SIZE='x': expected a whole number")]
    [InlineData("OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE is not set")]
    [InlineData("PMI_RANK=4 PMI_SIZE=4", "PMI_RANK='4': expected less than PMI_SIZE=4")]
    [InlineData("PMI_RANK=1 PMI_SIZE=4", "MPI_LOCALRANKID is not set")]
    [InlineData("MV2_COMM_WORLD_RANK=1 MV2_COMM_WORLD_SIZE=99999999999", "MV2_COMM_WORLD_SIZE='99999999999'")]
    [InlineData("SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=2 SLURM_LOCALID=0", "SLURM_PROCID='2': expected less than SLURM_STEP_NUM_TASKS=2")]
    [InlineData("SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=1", "SLURM_LOCALID is not set")]
    [InlineData("SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=1 SLURM_LOCALID=0 SLURM_NNODES=2 SLURM_STEP_TASKS_PER_NODE=2(x2),1", "SLURM_STEP_TASKS_PER_NODE='2(x2),1': expected counts for 2 nodes, found 3")]
    [InlineData("SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=1 SLURM_LOCALID=0 SLURM_NNODES=2 SLURM_STEP_TASKS_PER_NODE=2,3", "counts that sum up to SLURM_STEP_NUM_TASKS=4")]
    [InlineData("SLURM_STEP_NUM_TASKS=2 SLURM_PROCID=1 SLURM_LOCALID=0 SLURM_NNODES=2 SLURM_STEP_NODELIST=n[1-", "SLURM_STEP_NODELIST='n[1-': expected host names")]
    [InlineData("PET_NNODES=2 PET_NODE_RANK=2", "PET_NODE_RANK='2': expected less than PET_NNODES=2")]
    [InlineData("PET_NNODES=4:1", "PET_NNODES='4:1': expected a number of nodes, or MIN:MAX")]
    [InlineData("PET_NNODES=1 PET_NPROC_PER_NODE=many", "PET_NPROC_PER_NODE='many'")]
    [InlineData("PET_NNODES=1 PET_RDZV_ENDPOINT=a:b", "PET_RDZV_ENDPOINT='a:b': expected HOST:PORT")]
    [InlineData(PyTorchJob + " PET_NPROC_PER_NODE=2", "WORLD_SIZE='3': expected a multiple of PET_NPROC_PER_NODE=2")]
    [InlineData("JOB_COMPLETION_INDEX=4 WORLD_SIZE=4", "JOB_COMPLETION_INDEX='4': expected less than WORLD_SIZE=4")]
    [InlineData("TF_CONFIG={", "TF_CONFIG='{': expected a JSON object")]
    [InlineData("""TF_CONFIG={"cluster":{"worker":["a:2"]},"task":{"type":"worker","index":1}}""", "expected task.index 1 to be less than the 1 tasks of cluster.worker")]
    [InlineData("""TF_CONFIG={"cluster":{"worker":["a:2"],"ps":["b:2"]},"task":{"type":"ps","index":0}}""", "found 'ps'; parameter servers and evaluators take no part")]
    [InlineData("""TF_CONFIG={"cluster":{"worker":["a:99999"]},"task":{"type":"worker","index":0}}""", "expected addresses as HOST:PORT, found 'a:99999'")]
    [InlineData("""TF_CONFIG={"cluster":{"worker":[7]},"task":{"type":"worker","index":0}}""", "expected cluster.worker to be a list of HOST:PORT")]
    public void Contradictions_and_garbage_name_the_variable_what_it_holds_and_what_was_expected(string variables, string message)
    {
        ClusterEnvironmentException failure = Assert.Throws<ClusterEnvironmentException>(() => Detect(variables));

        Assert.Contains(message, failure.Message, StringComparison.Ordinal);
        Assert.StartsWith($"environment variable {failure.Variable}", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Long_values_and_control_characters_stay_out_of_messages()
    {
        ClusterEnvironmentException failure = Assert.Throws<ClusterEnvironmentException>(
            () => ClusterEnvironment.Detect(new Dictionary<string, string> { ["OMPI_COMM_WORLD_RANK"] = "\u001b[31m\n" + new string('9', 10_000), ["OMPI_COMM_WORLD_SIZE"] = "2" }, "h", _ => null));

        Assert.DoesNotContain(failure.Message, char.IsControl);
        Assert.True(failure.Message.Length < 300);
    }

    [Fact]
    public void Whatever_variables_hold_there_is_a_rank_of_a_world_or_a_named_variable()
    {
        string[] names = ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "PMI_RANK", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NNODES",
            "SLURM_STEP_TASKS_PER_NODE", "SLURM_STEP_NODELIST", "PET_NNODES", "PET_NODE_RANK", "PET_NPROC_PER_NODE", "PET_RDZV_ENDPOINT", "JOB_COMPLETION_INDEX", "KUBERNETES_SERVICE_HOST", "TF_CONFIG", "MASTER_PORT", "SLURM_JOB_ID"];
        string[] values = ["0", "1", "2", "4", "", " ", "-1", "x", "1:2", "2(x2)", "n[1-2]", "a:1", "{}", "[]", "[", "4294967296", """{"cluster":{"worker":["a:1"]},"task":{"type":"worker","index":0}}""", """{"cluster":7}"""];
        Gen.Select(Gen.Int[0, names.Length - 1].Select(index => names[index]), Gen.OneOf(Gen.Int[0, values.Length - 1].Select(index => values[index]), Gen.String[0, 8])).Array[0, 8].Sample(pairs =>
        {
            Dictionary<string, string> variables = [];
            foreach ((string name, string value) in pairs) variables[name] = value;
            try
            {
                ClusterEnvironment found = ClusterEnvironment.Detect(variables, "host", _ => null);
                Assert.InRange(found.Rank, 0, found.WorldSize - 1);
                Assert.InRange(found.LocalRank, 0, (found.LocalWorldSize ?? found.WorldSize) - 1);
                if (found.MasterPort is int port) Assert.InRange(port, 1, 65535);
            }
            catch (ClusterEnvironmentException failure)
            {
                Assert.NotEmpty(failure.Variable);
            }
        });
    }

    // Of a variable given twice the last counts, as in a shell.
    private static ClusterEnvironment Detect(string variables) => ClusterEnvironment.Detect(
        variables.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(pair => pair.Split('=', 2)).GroupBy(pair => pair[0]).ToDictionary(pairs => pairs.Key, pairs => pairs.Last()[1]),
        "job-2", path => path == "/etc/hosts" ? "127.0.0.1 localhost\n10.1.2.3\tjob-2.net.svc job-2\n" : null);
}
