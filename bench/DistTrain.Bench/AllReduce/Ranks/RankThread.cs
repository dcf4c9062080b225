using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;

namespace DistTrain.Bench;

/// <summary>A thread that is one rank. Where there is a core for each rank it is bound to its own, as MPI's launchers do.</summary>
public sealed partial class RankThread
{
    private const int MaskWords = 16, BitsPerWord = 64, ProcessorsOnline = 84;
    private readonly Thread _thread;
    private ExceptionDispatchInfo? _failure;

    /// <summary>Cores of this machine that are on, whichever of them a launcher bound this process to.</summary>
    public static int MachineCoreCount { get; } = Math.Max(Environment.ProcessorCount, OperatingSystem.IsLinux() ? (int)sysconf(ProcessorsOnline) : 0);

    /// <summary>Starts it.</summary>
    /// <param name="rank">The rank.</param>
    /// <param name="localRanks">Ranks on this machine.</param>
    /// <param name="body">What it does.</param>
    public RankThread(int rank, int localRanks, Action body)
    {
        _thread = new Thread(() =>
        {
            try
            {
                if (localRanks <= Environment.ProcessorCount) BindToCore(rank);
                body();
            }
#pragma warning disable CA1031 // Whatever it is, who joins throws it.
            catch (Exception failure)
#pragma warning restore CA1031
            {
                _failure = ExceptionDispatchInfo.Capture(failure);
            }
        }) { IsBackground = true, Name = $"rank {rank}" };
        _thread.Start();
    }

    /// <summary>Waits for its end and throws what ended it.</summary>
    public void Join()
    {
        _thread.Join();
        _failure?.Throw();
    }

    // Of the cores that the process may use, number `rank`. Where that can't be done the thread moves as the system likes.
    private static unsafe void BindToCore(int rank)
    {
        if (!OperatingSystem.IsLinux()) return;
        Span<ulong> allowed = stackalloc ulong[MaskWords], chosen = stackalloc ulong[MaskWords];
        fixed (ulong* mask = allowed)
            if (sched_getaffinity(0, MaskWords * sizeof(ulong), mask) != 0) return;
        int left = rank;
        for (int core = 0; core < MaskWords * BitsPerWord; core++)
        {
            ulong bit = 1UL << (core % BitsPerWord);
            if ((allowed[core / BitsPerWord] & bit) == 0 || left-- > 0) continue;
            chosen[core / BitsPerWord] = bit;
            fixed (ulong* mask = chosen) _ = sched_setaffinity(0, MaskWords * sizeof(ulong), mask);
            return;
        }
    }

    [LibraryImport("libc")]
    private static partial nint sysconf(int name);

    [LibraryImport("libc")]
    private static unsafe partial int sched_getaffinity(int thread, nint bytes, ulong* mask);

    [LibraryImport("libc")]
    private static unsafe partial int sched_setaffinity(int thread, nint bytes, ulong* mask);
}
