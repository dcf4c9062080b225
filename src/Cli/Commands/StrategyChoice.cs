using System.Globalization;
using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>Which strategy trains on which devices: from <c>--strategy</c>, <c>--device</c> and <c>--algorithm</c>.</summary>
internal static class StrategyChoice
{
    private const string OneDevice = "one-device", Mirrored = "mirrored", MultiWorker = "multi-worker", CentralStorage = "central-storage", Sharded = "sharded", ParameterServer = "parameter-server", Tpu = "tpu";

    public static readonly string[] Algorithms = ["own", "ring", "direct", "tree", "recursive-doubling", "double-tree"];
    private static readonly string[] s_strategies = [OneDevice, Mirrored, MultiWorker, CentralStorage, Sharded, ParameterServer];

    /// <summary>Says no to what can't be combined, before anything is opened.</summary>
    public static void Check(TrainOptions options)
    {
        Choice.Check("--algorithm", options.Algorithm, Algorithms);
        if (options.Strategy == Tpu)
            throw new UsageException("--strategy tpu: TPUs are programmed through XLA and its PJRT plug-ins, which have no kernels of ours to run; use --strategy mirrored on GPUs or slices of the CPU");
        if (options.Strategy != ParameterServer && (options.Servers != 1 || options.StalenessBound is not null || options.GradientsPerUpdate != 1))
            throw new UsageException("--servers, --staleness-bound and --gradients-per-update belong to --strategy parameter-server");
        if (options.Strategy != Sharded && options.ShardingStage != 2) throw new UsageException("--sharding-stage belongs to --strategy sharded");
        if (options.Device.Split(',', StringSplitOptions.TrimEntries).GroupBy(name => name).FirstOrDefault(group => group.Count() > 1) is { } twice)
            throw new UsageException($"--device {options.Device}: {twice.Key} is named twice; each replica needs its own (slices of the CPU are cpu:0/2, cpu:1/2)");
        if (options.Strategy is null) return;
        Choice.Check("--strategy", options.Strategy, s_strategies);
        int devices = options.Device.Split(',').Length;
        if (options.Strategy == ParameterServer) CheckParameterServer(options);
        if (options.Strategy == Sharded) CheckSharded(options);
        if (options.Strategy == OneDevice && devices > 1) throw new UsageException($"--strategy one-device with {devices} devices ({options.Device}): name one, or use --strategy mirrored");
    }

    private static void CheckSharded(TrainOptions options)
    {
        if (options.ShardingStage is < 1 or > 3) throw new UsageException($"--sharding-stage {options.ShardingStage}: expected 1 (optimizer state), 2 (gradients too) or 3 (parameters too)");
        if (options.VirtualShards > 0) throw new UsageException("--strategy sharded has no virtual shards: their sums are made of whole gradients");
        if (options.GradientCompression != "none") throw new UsageException($"--strategy sharded reduces gradients by slices, which --gradient-compression {options.GradientCompression} does not");
    }

    private static void CheckParameterServer(TrainOptions options)
    {
        if (options.Servers < 1) throw new UsageException($"--servers {options.Servers}: expected 1 or more");
        if (options.StalenessBound is < 0) throw new UsageException($"--staleness-bound {options.StalenessBound}: expected 0 or more");
        if (options.GradientsPerUpdate < 1) throw new UsageException($"--gradients-per-update {options.GradientsPerUpdate}: expected 1 or more");
        if (options.Servers > 1 && (options.StalenessBound is not null || options.GradientsPerUpdate > 1))
            throw new UsageException($"--servers {options.Servers} with --staleness-bound or --gradients-per-update: each server counts by itself, so these need one server");
        if (options.StalenessBound is not null && options.GradientsPerUpdate > 1) throw new UsageException("--staleness-bound with --gradients-per-update above 1: gradients of one update are never stale; leave the bound out");
        if (options.VirtualShards > 0) throw new UsageException("--strategy parameter-server has no virtual shards");
        if (options.SyncBatchNorm) throw new UsageException("--sync-batch-norm normalises by the batch of all devices, but under --strategy parameter-server each works on batches of its own: use --strategy mirrored or multi-worker");
        if (options.GradientCompression != "none") throw new UsageException($"--strategy parameter-server sends gradients as they are, not by --gradient-compression {options.GradientCompression}");
        if (options.Algorithm != "own") throw new UsageException($"--algorithm {options.Algorithm} sums gradients among devices, which under --strategy parameter-server go to servers one by one");
        if (options.CheckReplicas) throw new UsageException("--check-replicas compares replicas that are equal after every step, which those of --strategy parameter-server are not");
        if (options.Precision == "f16") throw new UsageException("--strategy parameter-server has no loss scale that all workers share: use --precision bf16, which needs none");
    }

    /// <summary>Opens the devices, which the strategy owns; one of several processes joins the others.</summary>
    /// <param name="options">Which strategy, which devices.</param>
    /// <param name="stopping">Ends the wait for parameter servers that are away.</param>
    /// <exception cref="DeviceException">A device is unknown or can't be used.</exception>
    /// <exception cref="CollectiveException">The other processes of the job are missing.</exception>
    public static Strategy Open(TrainOptions options, CancellationToken stopping = default)
    {
        ClusterEnvironment job = ClusterEnvironment.Detect();
        if (ParameterServerRole.Detect(options) is { } role) return JoinServers(options, role, job, stopping);
        if (job.WorldSize > 1 || options.Strategy == MultiWorker) return Join(options, job);
        List<ComputeDevice> devices = [];
        try
        {
            foreach (string name in options.Device == "auto" ? AllDevices() : options.Device.Split(',', StringSplitOptions.TrimEntries)) devices.Add(DeviceCatalog.Open(name));
            CommunicatorOptions communication = Communication(options);
            return options.Strategy switch
            {
                ParameterServer => new ParameterServerStrategy(devices, ServerOptions(options), options.Servers, ownsDevices: true) { Say = ProgressDisplay.Say },
                Sharded => new ShardedStrategy(devices, options.ShardingStage, communication, ownsDevices: true),
                CentralStorage => new CentralStorageStrategy(devices, storage: null, communication, ownsDevices: true),
                null when devices.Count == 1 => new OneDeviceStrategy(devices[0], ownsDevice: true),
                OneDevice => new OneDeviceStrategy(devices[0], ownsDevice: true),
                _ => new MirroredStrategy(devices, communication, ownsDevices: true),
            };
        }
        catch (Exception failure)
        {
            foreach (ComputeDevice device in devices) device.Dispose();
            if (failure is ArgumentException) throw new UsageException($"--device {options.Device}: {FailureText.Of(failure)}");
            throw;
        }
    }

    /// <summary>How servers deal with workers. They save themselves, counted in updates.</summary>
    public static ParameterStoreOptions ServerOptions(TrainOptions options) => new()
    {
        StalenessBound = options.StalenessBound,
        GradientsPerUpdate = options.GradientsPerUpdate,
        Checkpoints = options.Checkpoint is not { } folder ? null : new CheckpointOptions
        {
            Folder = folder, EveryStepCount = options.CheckpointEvery, Resumes = options.Resume == "auto", Say = ProgressDisplay.Say,
        },
    };

    private static ParameterServerStrategy JoinServers(TrainOptions options, ParameterServerEnvironment role, ClusterEnvironment job, CancellationToken stopping)
    {
        ComputeDevice device = DeviceCatalog.Open(DeviceOf(options, job));
        try
        {
            ProgressDisplay.Say($"worker {job.Rank} of {job.WorldSize}, parameter {(role.Servers.Count == 1 ? "server" : "servers")} {string.Join(", ", role.Servers.Select(server => $"{server.Host}:{server.Port}"))}");
            return new ParameterServerStrategy(device, role.Connect(ParameterServerRole.Security(stopping)), $"worker-{job.Rank}", job.Rank, job.WorldSize, ownsDevice: true) { Say = ProgressDisplay.Say };
        }
        catch
        {
            device.Dispose();
            throw;
        }
    }

    private static string DeviceOf(TrainOptions options, ClusterEnvironment job)
    {
        string name = options.Device is "cpu" or "auto" ? OwnDevice(job) : options.Device;
        return name.Contains(',', StringComparison.Ordinal) ? throw new UsageException($"--device {options.Device}: each of the {job.WorldSize} processes has one device") : name;
    }

    private static Strategy Join(TrainOptions options, ClusterEnvironment job)
    {
        if (options.Strategy is not (null or MultiWorker or Sharded))
            throw new UsageException($"--strategy {options.Strategy} is for one process, this is one of {job.WorldSize} ({job.Reason}): leave it out, use --strategy multi-worker or sharded, or give parameter servers (disttrain launch --servers 1)");
        string name = DeviceOf(options, job);
        ProgressDisplay.Say(job.Reason);
        ComputeDevice device = DeviceCatalog.Open(name);
        try
        {
            ICommunicator communicator = Communicator.Connect(job, Communication(options), device: device);
            return options.Strategy == Sharded ? new ShardedStrategy(device, communicator, options.ShardingStage, ownsDevice: true) : new MultiWorkerMirroredStrategy(device, communicator, ownsDevice: true);
        }
        catch
        {
            device.Dispose();
            throw;
        }
    }

    // Virtual shards are added along one tree, whatever the transport would do by itself.
    private static CommunicatorOptions Communication(TrainOptions options) =>
        new() { Algorithm = Algorithm(options.Algorithm), Determinism = options.VirtualShards > 0 && options.Algorithm == "own" ? Determinism.FixedOrder : Determinism.SameEveryRun };

    // The GPU of the process' number; else its share of the cores, unless whoever started it has given it one already.
    private static string OwnDevice(ClusterEnvironment job)
    {
        int local = job.LocalWorldSize ?? 1, cores = Environment.ProcessorCount;
        if (DeviceCatalog.List(DeviceKind.Cuda).Any(device => device.Name == $"cuda:{job.LocalRank}" && device.Unusable is null)) return $"cuda:{job.LocalRank}";
        return local > 1 && cores >= local && cores == CoresOfMachine() ? $"cpu:{job.LocalRank}/{local}" : "cpu";
    }

    // Fewer cores than the machine has: somebody has divided them already.
    private static int CoresOfMachine()
    {
        try
        {
            // "0-3,8": ranges of processors.
            return File.ReadAllText("/sys/devices/system/cpu/online").Trim().Split(',').Sum(range => range.Split('-') is [string first, string last] ? int.Parse(last, CultureInfo.InvariantCulture) - int.Parse(first, CultureInfo.InvariantCulture) + 1 : 1);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or FormatException)
        {
            return Environment.ProcessorCount;
        }
    }

    // All GPUs; without any, the CPU's cores in two halves, each a device of its own.
    private static IEnumerable<string> AllDevices()
    {
        string[] gpus = [.. DeviceCatalog.List(DeviceKind.Cuda).Where(device => device.Unusable is null).Select(device => device.Name)];
        return gpus.Length > 0 ? gpus : Environment.ProcessorCount > 1 ? ["cpu:0/2", "cpu:1/2"] : ["cpu"];
    }

    private static AllReduceAlgorithm? Algorithm(string name) => name switch
    {
        "ring" => AllReduceAlgorithm.Ring,
        "direct" => AllReduceAlgorithm.Direct,
        "tree" => AllReduceAlgorithm.Tree,
        "recursive-doubling" => AllReduceAlgorithm.RecursiveDoubling,
        "double-tree" => AllReduceAlgorithm.DoubleTree,
        _ => null,
    };
}
