using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>Which logical processors this process may use, and how to keep a thread on some of them.</summary>
internal static unsafe partial class CpuTopology
{
    private const int MaskWordCount = 16; // 1,024 processors, the size of glibc's cpu_set_t

    /// <summary>The processors of the affinity mask, ascending; 0 to n - 1 where the system has no mask to ask.</summary>
    public static int[] AvailableCpus()
    {
        if (!OperatingSystem.IsLinux()) return [.. Enumerable.Range(0, Environment.ProcessorCount)];
        ulong* mask = stackalloc ulong[MaskWordCount];
        if (SchedGetAffinity(0, MaskWordCount * sizeof(ulong), mask) != 0) return [.. Enumerable.Range(0, Environment.ProcessorCount)];
        List<int> cpus = [];
        for (int cpu = 0; cpu < MaskWordCount * 64; cpu++)
            if ((mask[cpu / 64] >> (cpu % 64) & 1) != 0) cpus.Add(cpu);
        // A container's CPU quota (Environment.ProcessorCount knows it) can be smaller than the mask.
        return [.. cpus.Take(Math.Max(1, Environment.ProcessorCount))];
    }

    /// <summary>Keeps the calling thread on the given processors. Best effort: a refusal changes speed, never results.</summary>
    public static void PinCurrentThread(IReadOnlyList<int> cpus)
    {
        if (!OperatingSystem.IsLinux()) return;
        ulong* mask = stackalloc ulong[MaskWordCount];
        new Span<ulong>(mask, MaskWordCount).Clear();
        foreach (int cpu in cpus) mask[cpu / 64] |= 1UL << (cpu % 64);
        _ = SchedSetAffinity(0, MaskWordCount * sizeof(ulong), mask);
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity")]
    private static partial int SchedGetAffinity(int threadId, nuint byteCount, ulong* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity")]
    private static partial int SchedSetAffinity(int threadId, nuint byteCount, ulong* mask);
}
