using BenchmarkDotNet.Attributes;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>The benches of kernels under BenchmarkDotNet: a case, a thread count, and the body that the rows measure too.</summary>
public abstract class CaseBenchmarks(string bench) : WorkloadBenchmarks
{
    /// <summary>The device to run on; <c>--device NAME</c> sets it for the processes that BenchmarkDotNet starts.</summary>
    public const string DeviceVariable = "DISTTRAIN_BENCH_DEVICE";

    /// <summary>The shape.</summary>
    [ParamsSource(nameof(Cases))]
    public override BenchCase? Case { get; set; }

    /// <summary>Threads on the CPU; 0 on a GPU, where they do not apply.</summary>
    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    /// <summary>The bench's cases.</summary>
    public IEnumerable<BenchCase> Cases => BenchCatalog.Cases(bench, isGpu: DeviceName != "cpu");

    /// <summary>One thread, and all cores.</summary>
    public static IEnumerable<int> ThreadCounts => DeviceName != "cpu" ? [0] : Environment.ProcessorCount == 1 ? [1] : [1, Environment.ProcessorCount];

    private static string DeviceName => Environment.GetEnvironmentVariable(DeviceVariable) ?? "cpu";

    /// <summary>The body, and the wait for it.</summary>
    [Benchmark]
    public void Run()
    {
        Workload.Run();
        Workload.Stream.Synchronize();
    }

    /// <inheritdoc/>
    protected override ComputeDevice OpenDevice() => Threads > 0 ? new CpuDevice("cpu", InstructionSets.Chosen(), Threads) : DeviceCatalog.Open(DeviceName);
}
