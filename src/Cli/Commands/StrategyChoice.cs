using DistTrain.Collectives;
using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Cli;

/// <summary>Which strategy trains on which devices: from <c>--strategy</c>, <c>--device</c> and <c>--algorithm</c>.</summary>
internal static class StrategyChoice
{
    private const string OneDevice = "one-device", Mirrored = "mirrored", CentralStorage = "central-storage", Tpu = "tpu";

    public static readonly string[] Algorithms = ["own", "ring", "direct", "tree", "recursive-doubling"];
    private static readonly string[] s_strategies = [OneDevice, Mirrored, CentralStorage];

    /// <summary>Says no to what can't be combined, before anything is opened.</summary>
    public static void Check(TrainOptions options)
    {
        Choice.Check("--algorithm", options.Algorithm, Algorithms);
        if (options.Strategy == Tpu)
            throw new UsageException("--strategy tpu: TPUs are programmed through XLA and its PJRT plug-ins, which have no kernels of ours to run; use --strategy mirrored on GPUs or slices of the CPU");
        if (options.Strategy is null) return;
        Choice.Check("--strategy", options.Strategy, s_strategies);
        int devices = options.Device.Split(',').Length;
        if (options.Strategy == OneDevice && devices > 1) throw new UsageException($"--strategy one-device with {devices} devices ({options.Device}): name one, or use --strategy mirrored");
    }

    /// <summary>Opens the devices; the strategy owns them.</summary>
    /// <exception cref="DeviceException">A device is unknown or can't be used.</exception>
    public static Strategy Open(TrainOptions options)
    {
        List<ComputeDevice> devices = [];
        try
        {
            foreach (string name in options.Device == "auto" ? AllDevices() : options.Device.Split(',', StringSplitOptions.TrimEntries)) devices.Add(DeviceCatalog.Open(name));
            CommunicatorOptions communication = new() { Algorithm = Algorithm(options.Algorithm) };
            return options.Strategy switch
            {
                CentralStorage => new CentralStorageStrategy(devices, storage: null, communication, ownsDevices: true),
                null when devices.Count == 1 => new OneDeviceStrategy(devices[0], ownsDevice: true),
                OneDevice => new OneDeviceStrategy(devices[0], ownsDevice: true),
                _ => new MirroredStrategy(devices, communication, ownsDevices: true),
            };
        }
        catch (Exception failure)
        {
            foreach (ComputeDevice device in devices) device.Dispose();
            if (failure is ArgumentException) throw new UsageException($"--device {options.Device}: {failure.Message}");
            throw;
        }
    }

    // All GPUs; without any, the CPU's cores in two halves, each a device of its own.
    private static IEnumerable<string> AllDevices()
    {
        string[] gpus = [.. DeviceCatalog.List().Where(device => device.Kind == DeviceKind.Cuda && device.Unusable is null).Select(device => device.Name)];
        return gpus.Length > 0 ? gpus : Environment.ProcessorCount > 1 ? ["cpu:0/2", "cpu:1/2"] : ["cpu"];
    }

    private static AllReduceAlgorithm? Algorithm(string name) => name switch
    {
        "ring" => AllReduceAlgorithm.Ring,
        "direct" => AllReduceAlgorithm.Direct,
        "tree" => AllReduceAlgorithm.Tree,
        "recursive-doubling" => AllReduceAlgorithm.RecursiveDoubling,
        _ => null,
    };
}
