using System.Runtime.InteropServices;

namespace DistTrain.Kernels;

/// <summary>
/// Large pages for large blocks, where Linux gives them on request: a matrix's rows then stay in the reach of the address translation caches.
/// </summary>
internal static partial class HugePages
{
    /// <summary>The size and alignment of a large page, 2 MB on x86-64 and usually on ARM64.</summary>
    public const int ByteCount = 2 << 20;

    private const int AdviseHugePage = 14;

    /// <summary>Asks for large pages. Best effort: a refusal changes speed, never results.</summary>
    public static void Advise(nint memory, long byteCount)
    {
        if (OperatingSystem.IsLinux()) _ = MemoryAdvise(memory, (nuint)byteCount, AdviseHugePage);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int MemoryAdvise(nint address, nuint length, int advice);
}
