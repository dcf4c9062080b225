using BenchmarkDotNet.Attributes;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>The frame of BenchmarkDotNet's classes: a case, opened before it is measured and freed behind it.</summary>
public abstract class WorkloadBenchmarks
{
    private ComputeDevice? _device;
    private Workload? _workload;

    /// <summary>What is done. Rows are sorted by parameters in the order in which a class declares them, those of its base last: each class declares its own.</summary>
    public abstract BenchCase? Case { get; set; }

    /// <summary>What is measured.</summary>
    protected Workload Workload => _workload!;

    /// <summary>Opens the device and makes the data.</summary>
    [GlobalSetup]
    public void Open()
    {
        _device = OpenDevice();
        _workload = Case!.Open(_device);
    }

    /// <summary>Frees all.</summary>
    [GlobalCleanup]
    public void Close()
    {
        _workload?.Dispose();
        _device?.Dispose();
    }

    /// <summary>Opens what to run on.</summary>
    protected abstract ComputeDevice OpenDevice();
}
