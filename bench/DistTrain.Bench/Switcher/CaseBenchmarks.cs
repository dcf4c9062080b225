using BenchmarkDotNet.Attributes;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>The frame of BenchmarkDotNet's classes: a case, a thread count, and the body that the rows measure too.</summary>
public abstract class CaseBenchmarks(string bench)
{
    /// <summary>The device to run on; <c>--device NAME</c> sets it for the processes that BenchmarkDotNet starts.</summary>
    public const string DeviceVariable = "DISTTRAIN_BENCH_DEVICE";

    private ComputeDevice? _device;
    private Workload? _workload;

    /// <summary>The shape.</summary>
    [ParamsSource(nameof(Cases))]
    public BenchCase? Case { get; set; }

    /// <summary>Threads on the CPU; 0 on a GPU, where they do not apply.</summary>
    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    /// <summary>The bench's cases.</summary>
    public IEnumerable<BenchCase> Cases => BenchCatalog.Cases(bench, isGpu: DeviceName != "cpu");

    /// <summary>One thread, and all cores.</summary>
    public static IEnumerable<int> ThreadCounts => DeviceName != "cpu" ? [0] : Environment.ProcessorCount == 1 ? [1] : [1, Environment.ProcessorCount];

    private static string DeviceName => Environment.GetEnvironmentVariable(DeviceVariable) ?? "cpu";

    /// <summary>Opens the device and makes the tensors.</summary>
    [GlobalSetup]
    public void Open()
    {
        _device = Threads > 0 ? new CpuDevice("cpu", InstructionSets.Chosen(), Threads) : DeviceCatalog.Open(DeviceName);
        _workload = Case!.Open(_device);
    }

    /// <summary>Frees all.</summary>
    [GlobalCleanup]
    public void Close()
    {
        _workload?.Dispose();
        _device?.Dispose();
    }

    /// <summary>The body, and the wait for it.</summary>
    [Benchmark]
    public void Run()
    {
        _workload!.Run();
        _workload.Stream.Synchronize();
    }
}
