using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>Counts what a call allocates. Unlike times, the numbers are the same on any machine and at any load.</summary>
public static class AllocationGauge
{
    private const int WarmupCallCount = 3, TrialCount = 3, CallCount = 8;

    // One small case of each kind of body: allocation does not grow with the size, and a gate should be quick.
    private static readonly (string Bench, string Part)[] s_gated =
    [
        ("matmul", "384 NN"), ("matmul", "384 NT"), ("matmul", "384 TN"), ("matmul", "256x1024x10"),
        ("convolution", "convnet 2"), ("softmax", "4096x1000 T=4"), ("distillation-loss", ""), ("attention", "decoder"), ("train-step", "mlp"), ("train-step", "convnet"), ("train-step", "transformer"),
        ("ingest", "crc32c 4096"), ("ingest", "tfrecord 100 one"), ("ingest", "element "),
    ];

    /// <summary>All gated cases on two CPU threads.</summary>
    public static IEnumerable<AllocationCase> MeasureAll()
    {
        foreach ((string bench, string part) in s_gated)
        {
            foreach (BenchCase benchCase in BenchCatalog.Cases(bench, isGpu: false).Where(candidate => candidate is { IsSteady: true, ThreadCount: null or 1 } && candidate.Name.StartsWith(part, StringComparison.Ordinal)))
            {
                using CpuDevice device = new("cpu", InstructionSets.Chosen(), 2);
                using Workload workload = benchCase.Open(device);
                (long managed, long native) = Measure(workload);
                yield return new AllocationCase(bench, benchCase.Name, managed, native);
            }
        }
    }

    /// <summary>The least of a few trials: what the runtime itself allocates now and then is not the body's.</summary>
    private static (long Managed, long Native) Measure(Workload workload)
    {
        for (int call = 0; call < WarmupCallCount; call++) workload.RunSteady();
        (long managed, long native) = (long.MaxValue, long.MaxValue);
        for (int trial = 0; trial < TrialCount; trial++)
        {
            long nativeBefore = workload.Stream.Device.Pool.AllocationCount;
            long managedBefore = GC.GetTotalAllocatedBytes(precise: true);
            for (int call = 0; call < CallCount; call++) workload.RunSteady();
            managed = Math.Min(managed, (GC.GetTotalAllocatedBytes(precise: true) - managedBefore) / CallCount);
            native = Math.Min(native, workload.Stream.Device.Pool.AllocationCount - nativeBefore);
        }
        return (managed, native);
    }
}
