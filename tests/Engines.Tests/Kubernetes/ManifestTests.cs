using System.Globalization;
using k8s.Models;
using YamlDotNet.Core;

namespace DistTrain.Engines.Tests;

/// <summary>What the manifests say holds together: ranks, names, ports, secrets, what happens at which exit code.</summary>
public sealed class ManifestTests
{
    private const string Secret = "disttrain-train-secret", SecretFile = "/etc/disttrain/secret";

    public static TheoryData<string> Names => [.. Directory.GetFiles(Repository.Deploy("kubernetes"), "*.yaml").Select(path => Path.GetFileName(path)!)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_field_is_one_that_its_type_has(string name) => Assert.NotEmpty(Manifest.Parse(Manifest.Text(name)));

    [Theory]
    [InlineData("mpijob.yaml", "slotsPerWorker: 2", "slotPerWorker: 2")]
    [InlineData("mpijob.yaml", "slotsPerWorker: 2", "slotsPerWorker: two")]
    [InlineData("pytorchjob.yaml", "nprocPerNode:", "nProcPerNode:")]
    [InlineData("pytorchjob.yaml", "containerPort: 29500", "containerPort: \"x\"")]
    [InlineData("indexed-job.yaml", "completionMode: Indexed", "completionModus: Indexed")]
    [InlineData("indexed-job.yaml", "clusterIP: None", "clusterIPS: None")]
    [InlineData("indexed-job.yaml", "defaultMode: 0400", "mode: 0400")]
    [InlineData("trainjob.yaml", "numNodes: 4", "nodes: 4")]
    public void A_wrong_field_or_value_is_found(string name, string right, string wrong)
    {
        string text = Manifest.Text(name);
        Assert.Contains(right, text, StringComparison.Ordinal);
        Assert.ThrowsAny<YamlException>(() => Manifest.Parse(text.Replace(right, wrong, StringComparison.Ordinal)));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_secret_comes_from_the_clusters_store_readable_by_its_owner_alone(string name)
    {
        foreach (V1PodSpec pod in Pods(name))
        {
            V1Volume volume = Assert.Single(pod.Volumes, volume => volume.Secret is not null);
            Assert.Equal(Secret, volume.Secret.SecretName);
            Assert.Equal(Convert.ToInt32("400", 8), volume.Secret.DefaultMode);
            V1VolumeMount mount = Assert.Single(Assert.Single(pod.Containers).VolumeMounts, mount => mount.Name == volume.Name);
            Assert.True(mount.ReadOnlyProperty);
            Assert.Equal(SecretFile, mount.MountPath + "/secret");
        }
        if (name != "trainjob.yaml") return;
        V1EnvVar variable = Assert.Single(Manifest.Single<TrainJob>(name).Spec.Trainer.Env);
        Assert.Equal(("DISTTRAIN_JOB_SECRET", Secret, "secret"), (variable.Name, variable.ValueFrom.SecretKeyRef.Name, variable.ValueFrom.SecretKeyRef.Key));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_mount_has_its_volume_and_memory_is_limited(string name)
    {
        foreach (V1PodSpec pod in Pods(name))
        {
            V1Container container = Assert.Single(pod.Containers);
            Assert.Equal(pod.Volumes.Select(volume => volume.Name).Order(), container.VolumeMounts.Select(mount => mount.Name).Order());
            Assert.True(container.Resources.Limits.ContainsKey("memory"));
            Assert.Equal("example.com/disttrain-worker:0.1.0", container.Image);
        }
    }

    [Fact]
    public void An_mpi_job_starts_the_mpirun_script_on_the_operators_hostfile()
    {
        MpiJobSpec spec = Manifest.Single<MpiJob>("mpijob.yaml").Spec;
        Assert.Equal(["Launcher", "Worker"], spec.MpiReplicaSpecs.Keys.Order());
        ReplicaSpec launcher = spec.MpiReplicaSpecs["Launcher"], worker = spec.MpiReplicaSpecs["Worker"];
        Assert.Equal(1, launcher.Replicas);
        Assert.Contains(launcher.RestartPolicy, (string[])["Never", "OnFailure"]);
        Assert.Equal("OpenMPI", spec.MpiImplementation);
        V1Container container = launcher.Template.Spec.Containers[0];
        Assert.Equal(["/opt/disttrain/deploy/mpirun/train.sh"], container.Command);
        Assert.Equal(["--hostfile", "/etc/mpi/hostfile"], container.Args.Take(2));
        Assert.Equal((string[])["DISTTRAIN_JOB_SECRET_FILE=" + SecretFile], container.Env.Select(variable => $"{variable.Name}={variable.Value}"));
        // The ranks of a worker have their cores.
        int cores = int.Parse(container.Args[container.Args.IndexOf("--cores-per-rank") + 1], CultureInfo.InvariantCulture);
        Assert.Equal(worker.Template.Spec.Containers[0].Resources.Limits["cpu"].ToString(), (spec.SlotsPerWorker!.Value * cores).ToString(CultureInfo.InvariantCulture));
        Assert.Equal(["/usr/sbin/sshd"], worker.Template.Spec.Containers[0].Command);
    }

    [Fact]
    public void A_pytorch_job_has_the_names_that_its_operator_looks_for_and_restarts_at_75()
    {
        PyTorchJobSpec spec = Manifest.Single<PyTorchJob>("pytorchjob.yaml").Spec;
        Assert.Equal(["Master", "Worker"], spec.PytorchReplicaSpecs.Keys.Order());
        Assert.Equal(1, spec.PytorchReplicaSpecs["Master"].Replicas);
        foreach (ReplicaSpec replicas in spec.PytorchReplicaSpecs.Values)
        {
            // ExitCode would take 75 for final.
            Assert.Equal("OnFailure", replicas.RestartPolicy);
            V1Container container = replicas.Template.Spec.Containers[0];
            Assert.Equal(("pytorch", "pytorchjob-port"), (container.Name, Assert.Single(container.Ports).Name));
            CheckLaunch([.. container.Command, .. container.Args], "$(PET_NNODES)", "$(PET_NODE_RANK)", "$(MASTER_ADDR)", "$(MASTER_PORT)");
            Assert.Equal(spec.NprocPerNode, container.Resources.Limits["nvidia.com/gpu"].ToString());
        }
    }

    [Fact]
    public void An_indexed_jobs_pods_find_the_first_one_by_the_headless_service()
    {
        V1Job job = Manifest.Single<V1Job>("indexed-job.yaml");
        V1Service service = Manifest.Single<V1Service>("indexed-job.yaml");
        Assert.Equal(("None", true), (service.Spec.ClusterIP, service.Spec.PublishNotReadyAddresses));
        Assert.Equal(job.Metadata.Name, Assert.Single(service.Spec.Selector, label => label.Key == "batch.kubernetes.io/job-name").Value);
        V1PodSpec pod = job.Spec.Template.Spec;
        Assert.Equal(service.Metadata.Name, pod.Subdomain);
        Assert.Equal(("Indexed", job.Spec.Parallelism), (job.Spec.CompletionMode, job.Spec.Completions));
        V1Container container = pod.Containers[0];
        string ranks = job.Spec.Completions!.Value.ToString(CultureInfo.InvariantCulture), port = service.Spec.Ports[0].Port.ToString(CultureInfo.InvariantCulture);
        CheckLaunch([.. container.Command, .. container.Args], ranks, "$(JOB_COMPLETION_INDEX)", $"{job.Metadata.Name}-0.{service.Metadata.Name}", port);
        Assert.Equal(service.Spec.Ports[0].Port, Assert.Single(container.Ports).ContainerPort);
    }

    [Theory]
    [InlineData(75, "Count")]
    [InlineData(137, "Count")]
    [InlineData(143, "Count")]
    [InlineData(1, "FailJob")]
    [InlineData(2, "FailJob")]
    [InlineData(134, "FailJob")]
    public void An_indexed_job_counts_and_replaces_pods_that_can_go_on_and_ends_at_other_codes(int exitCode, string action)
    {
        V1JobSpec spec = Manifest.Single<V1Job>("indexed-job.yaml").Spec;
        // The policy needs Never; the first rule that fits acts.
        Assert.Equal("Never", spec.Template.Spec.RestartPolicy);
        Assert.Equal(("Ignore", "DisruptionTarget"), (spec.PodFailurePolicy.Rules[0].Action, spec.PodFailurePolicy.Rules[0].OnPodConditions[0].Type));
        V1PodFailurePolicyRule rule = spec.PodFailurePolicy.Rules.First(rule => rule.OnExitCodes is { } codes && codes.OperatorProperty switch
        {
            "In" => codes.Values.Contains(exitCode),
            "NotIn" => !codes.Values.Contains(exitCode),
            _ => throw new InvalidOperationException($"operator {codes.OperatorProperty}"),
        });
        Assert.Equal(action, rule.Action);
        Assert.Equal(spec.Template.Spec.Containers[0].Name, rule.OnExitCodes.ContainerName);
        Assert.Equal(rule.OnExitCodes.Values.Distinct().Order(), rule.OnExitCodes.Values);
    }

    [Fact]
    public void A_train_job_launches_as_many_nodes_as_it_asks_for()
    {
        TrainerSpec trainer = Manifest.Single<TrainJob>("trainjob.yaml").Spec.Trainer;
        CheckLaunch([.. trainer.Command, .. trainer.Args], trainer.NumNodes!.Value.ToString(CultureInfo.InvariantCulture), "$(PET_NODE_RANK)", "$(PET_MASTER_ADDR)", "$(PET_MASTER_PORT)");
        Assert.Equal(1, trainer.NumProcPerNode);
    }

    private static void CheckLaunch(string[] line, string nodes, string nodeRank, string address, string port) => Assert.Equal(
        ["disttrain", "launch", "--nproc-per-node=1", "--nnodes=" + nodes, "--node-rank=" + nodeRank, "--master-addr=" + address, "--master-port=" + port, "--grace=110", "--", "disttrain", "train", "--device", "cuda:0"], line.Take(13));

    private static IEnumerable<V1PodSpec> Pods(string name) => Manifest.Parse(Manifest.Text(name)).SelectMany(item => item switch
    {
        V1Job job => [job.Spec.Template.Spec],
        MpiJob job => job.Spec.MpiReplicaSpecs.Values.Select(replicas => replicas.Template.Spec),
        PyTorchJob job => job.Spec.PytorchReplicaSpecs.Values.Select(replicas => replicas.Template.Spec),
        _ => Enumerable.Empty<V1PodSpec>(),
    });
}
