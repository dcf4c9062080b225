using k8s.Models;

namespace DistTrain.Engines.Tests;

// The fields of Kubeflow's resources as their operators read them: everything above the pod templates, which are Kubernetes' own types.
// A field that is not here is an error in a manifest.

/// <summary>kubeflow.org/v2beta1 MPIJob.</summary>
public sealed class MpiJob
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public MpiJobSpec Spec { get; set; } = new();
}

public sealed class MpiJobSpec
{
    public int? SlotsPerWorker { get; set; }
    public bool? RunLauncherAsWorker { get; set; }
    public RunPolicy? RunPolicy { get; set; }
    public Dictionary<string, ReplicaSpec> MpiReplicaSpecs { get; set; } = [];
    public string? SshAuthMountPath { get; set; }
    public string? LauncherCreationPolicy { get; set; }
    public string? MpiImplementation { get; set; }
}

/// <summary>kubeflow.org/v1 PyTorchJob.</summary>
public sealed class PyTorchJob
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public PyTorchJobSpec Spec { get; set; } = new();
}

public sealed class PyTorchJobSpec
{
    public RunPolicy? RunPolicy { get; set; }
    public string? NprocPerNode { get; set; }
    public Dictionary<string, ReplicaSpec> PytorchReplicaSpecs { get; set; } = [];
}

public sealed class RunPolicy
{
    public string? CleanPodPolicy { get; set; }
    public int? TtlSecondsAfterFinished { get; set; }
    public long? ActiveDeadlineSeconds { get; set; }
    public int? BackoffLimit { get; set; }
    public bool? Suspend { get; set; }
    public string? ManagedBy { get; set; }
}

public sealed class ReplicaSpec
{
    public int? Replicas { get; set; }
    public string? RestartPolicy { get; set; }
    public V1PodTemplateSpec Template { get; set; } = new();
}

/// <summary>trainer.kubeflow.org/v1alpha1 TrainJob.</summary>
public sealed class TrainJob
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
    public TrainJobSpec Spec { get; set; } = new();
}

public sealed class TrainJobSpec
{
    public RuntimeReference RuntimeRef { get; set; } = new();
    public TrainerSpec Trainer { get; set; } = new();
    public bool? Suspend { get; set; }
}

public sealed class RuntimeReference
{
    public string? ApiGroup { get; set; }
    public string? Kind { get; set; }
    public string Name { get; set; } = "";
}

public sealed class TrainerSpec
{
    public string? Image { get; set; }
    public List<string> Command { get; set; } = [];
    public List<string> Args { get; set; } = [];
    public List<V1EnvVar> Env { get; set; } = [];
    public int? NumNodes { get; set; }
    public int? NumProcPerNode { get; set; }
    public V1ResourceRequirements? ResourcesPerNode { get; set; }
}
