namespace DistTrain.Collectives;

/// <summary>What started this process, as one of the processes of a job.</summary>
public enum ClusterEngine
{
    /// <summary>Nothing that is known: the process is alone.</summary>
    SingleProcess,

    /// <summary><c>disttrain launch</c>.</summary>
    Launcher,

    /// <summary>torchrun, or anything else that sets its variables for each rank.</summary>
    Torchrun,

    /// <summary>A task of a Slurm step: <c>srun</c>.</summary>
    Slurm,

    /// <summary>Open MPI's <c>mpirun</c>.</summary>
    OpenMpi,

    /// <summary>MPICH's Hydra, or Intel MPI: <c>mpiexec.hydra</c>.</summary>
    Hydra,

    /// <summary>MVAPICH's <c>mpirun_rsh</c>.</summary>
    Mvapich,

    /// <summary>A pod of Kubeflow's PyTorchJob or TrainJob, which counts nodes and leaves the ranks of each to a launcher.</summary>
    Kubeflow,

    /// <summary>A pod of a Kubernetes Job with completion mode Indexed.</summary>
    IndexedJob,

    /// <summary>A task described by TensorFlow's <c>TF_CONFIG</c>.</summary>
    TfConfig,
}
