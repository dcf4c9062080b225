using System.Runtime.InteropServices;

namespace DistTrain.Cli;

/// <summary>
/// What .NET's Process does not offer: a new session, a clean signal mask, inherited descriptors by choice, the signal that ended a child, and waiting without reaping, so that a process id stays
/// this child's until its whole group is gone. Never waits for a child that it was not given, so it does not compete with the runtime. 64-bit Linux.
/// </summary>
internal static unsafe partial class NativeProcess
{
    private const string Library = "libc";
    private const int ProcessById = 1, Exited = 4, NoHang = 1, KeepZombie = 0x0100_0000, ChildExited = 1;
    private const int InterruptedCall = 4;
    private const short SetSignalDefaults = 0x04, SetSignalMask = 0x08, SetSession = 0x80;
    private const int CloseOnExec = 0x80000, DuplicateCloseOnExec = 1030, FirstFreeDescriptor = 10;
    private const int SetSubreaper = 36;
    private const int TryAgain = 11, FullPause = 10; // EAGAIN; milliseconds
    private const int OpaqueByteCount = 1024; // the C library's attributes, actions and signal sets are far smaller

    /// <summary>A pipe whose ends programs don't inherit, away from the descriptors 0 to 9 that are given to them by number.</summary>
    internal static (int Read, int Write) CreatePipe()
    {
        int* ends = stackalloc int[2];
        if (pipe2(ends, CloseOnExec) != 0) throw Failed("pipe2");
        return (MoveUp(ends[0]), MoveUp(ends[1]));
    }

    internal static void Close(int descriptor) => close(descriptor);

    /// <summary>Starts a program in a session of its own, with default signal handling, its standard input empty unless given.</summary>
    /// <param name="arguments">The program, found by PATH, and its arguments.</param>
    /// <param name="environment">Lines of NAME=value.</param>
    /// <param name="descriptors">What it inherits: ours, and the number it gets.</param>
    internal static int Spawn(IReadOnlyList<string> arguments, IReadOnlyList<string> environment, IReadOnlyList<(int Ours, int Its)> descriptors)
    {
        byte* attributes = stackalloc byte[OpaqueByteCount], actions = stackalloc byte[OpaqueByteCount], signals = stackalloc byte[OpaqueByteCount];
        using var argv = new NativeStrings(arguments);
        using var envp = new NativeStrings(environment);
        Check(posix_spawnattr_init(attributes), "posix_spawnattr_init");
        Check(posix_spawn_file_actions_init(actions), "posix_spawn_file_actions_init");
        try
        {
            Check(posix_spawnattr_setflags(attributes, SetSignalDefaults | SetSignalMask | SetSession), "posix_spawnattr_setflags");
            sigfillset(signals);
            Check(posix_spawnattr_setsigdefault(attributes, signals), "posix_spawnattr_setsigdefault");
            sigemptyset(signals);
            Check(posix_spawnattr_setsigmask(attributes, signals), "posix_spawnattr_setsigmask");
            if (!descriptors.Any(pair => pair.Its == 0)) Check(posix_spawn_file_actions_addopen(actions, 0, "/dev/null", 0, 0), "posix_spawn_file_actions_addopen");
            foreach ((int ours, int its) in descriptors) Check(posix_spawn_file_actions_adddup2(actions, ours, its), "posix_spawn_file_actions_adddup2");
            Check(posix_spawnp(out int processId, arguments[0], actions, attributes, argv.Pointer, envp.Pointer), $"posix_spawnp {arguments[0]}");
            return processId;
        }
        finally
        {
            posix_spawn_file_actions_destroy(actions);
            posix_spawnattr_destroy(attributes);
        }
    }

    /// <summary>Blocks until a child has ended, and leaves it to <see cref="Reap"/>: until then its id can't become another process'.</summary>
    /// <returns>Its exit code and 0, or 0 and the signal that ended it.</returns>
    internal static (int Code, int Signal) AwaitEnd(int processId)
    {
        int* information = stackalloc int[32];
        while (waitid(ProcessById, processId, information, Exited | KeepZombie) != 0)
            if (Marshal.GetLastPInvokeError() != InterruptedCall) throw Failed($"waitid {processId}");
        // siginfo_t of 64-bit Linux: si_code is the third int, si_status the seventh.
        return information[2] == ChildExited ? (information[6], 0) : (0, information[6]);
    }

    /// <summary>Frees a child that has ended. Never blocks.</summary>
    internal static void Reap(int processId) => waitpid(processId, null, NoHang);

    /// <returns>False if there is no such process, or none that this user may signal.</returns>
    internal static bool Kill(int processId, int signal) => kill(processId, signal) == 0;

    /// <summary>From now on the processes that this one's children leave behind become its own children.</summary>
    internal static void AdoptOrphans() => prctl(SetSubreaper, 1, 0, 0, 0);

    /// <returns>Bytes read; 0: the end; null: nothing there now.</returns>
    internal static int? Read(int descriptor, Span<byte> buffer)
    {
        fixed (byte* start = buffer)
        {
            nint count = read(descriptor, start, buffer.Length);
            return count >= 0 ? (int)count : Marshal.GetLastPInvokeError() is InterruptedCall or TryAgain ? null : 0;
        }
    }

    internal static bool Write(int descriptor, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes) return write(descriptor, start, bytes.Length) == bytes.Length;
    }

    /// <summary>Writes everything; blocks while the reader does not read.</summary>
    /// <returns>False: nobody reads, or it can't be written.</returns>
    internal static bool WriteAll(int descriptor, ReadOnlySpan<byte> bytes)
    {
        fixed (byte* start = bytes)
        {
            for (int written = 0; written < bytes.Length;)
            {
                nint count = write(descriptor, start + written, bytes.Length - written);
                if (count >= 0) written += (int)count;
                else if (Marshal.GetLastPInvokeError() == TryAgain) Thread.Sleep(FullPause);
                else if (Marshal.GetLastPInvokeError() != InterruptedCall) return false;
            }
        }
        return true;
    }

    /// <summary>Waits until some of the descriptors can be read or are at their end.</summary>
    internal static void Poll(Span<PollEntry> entries, int milliseconds)
    {
        fixed (PollEntry* start = entries) poll(start, (nuint)entries.Length, milliseconds);
    }

    /// <summary>The cores that the calling thread may use, ascending.</summary>
    internal static int[] GetAffinity()
    {
        ulong* mask = stackalloc ulong[OpaqueByteCount / sizeof(ulong)];
        int byteCount = sched_getaffinity(0, OpaqueByteCount, mask);
        return byteCount < 0 ? [.. Enumerable.Range(0, Environment.ProcessorCount)] : [.. Enumerable.Range(0, OpaqueByteCount * 8).Where(core => (mask[core / 64] >> (core % 64) & 1) != 0)];
    }

    /// <summary>Binds the calling thread, and what it starts.</summary>
    internal static bool SetAffinity(IReadOnlyList<int> cores)
    {
        ulong* mask = stackalloc ulong[OpaqueByteCount / sizeof(ulong)];
        foreach (int core in cores) mask[core / 64] |= 1UL << (core % 64);
        return sched_setaffinity(0, OpaqueByteCount, mask) == 0;
    }

    private static int MoveUp(int descriptor)
    {
        if (descriptor >= FirstFreeDescriptor) return descriptor;
        int moved = fcntl(descriptor, DuplicateCloseOnExec, FirstFreeDescriptor);
        if (moved < 0) throw Failed("fcntl F_DUPFD_CLOEXEC");
        close(descriptor);
        return moved;
    }

    private static void Check(int error, string call)
    {
        if (error != 0) throw new IOException($"{call}: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    private static IOException Failed(string call) => new($"{call}: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}");

    [LibraryImport(Library, SetLastError = true)]
    private static partial int pipe2(int* ends, int flags);

    [LibraryImport(Library)]
    private static partial void close(int descriptor);

    [LibraryImport(Library, SetLastError = true)]
    private static partial int fcntl(int descriptor, int command, int argument);

    [LibraryImport(Library, SetLastError = true)]
    private static partial nint read(int descriptor, byte* buffer, nint count);

    [LibraryImport(Library, SetLastError = true)]
    private static partial nint write(int descriptor, byte* buffer, nint count);

    [LibraryImport(Library)]
    private static partial void poll(PollEntry* entries, nuint count, int milliseconds);

    [LibraryImport(Library)]
    private static partial int kill(int processId, int signal);

    [LibraryImport(Library, SetLastError = true)]
    private static partial int waitid(int kind, int id, int* information, int options);

    [LibraryImport(Library)]
    private static partial void waitpid(int processId, int* status, int options);

    [LibraryImport(Library)]
    private static partial void prctl(int option, nuint value, nuint third, nuint fourth, nuint fifth);

    [LibraryImport(Library)]
    private static partial int sched_getaffinity(int processId, nuint byteCount, ulong* mask);

    [LibraryImport(Library)]
    private static partial int sched_setaffinity(int processId, nuint byteCount, ulong* mask);

    [LibraryImport(Library)]
    private static partial void sigfillset(byte* set);

    [LibraryImport(Library)]
    private static partial void sigemptyset(byte* set);

    [LibraryImport(Library)]
    private static partial int posix_spawnattr_init(byte* attributes);

    [LibraryImport(Library)]
    private static partial void posix_spawnattr_destroy(byte* attributes);

    [LibraryImport(Library)]
    private static partial int posix_spawnattr_setflags(byte* attributes, short flags);

    [LibraryImport(Library)]
    private static partial int posix_spawnattr_setsigdefault(byte* attributes, byte* set);

    [LibraryImport(Library)]
    private static partial int posix_spawnattr_setsigmask(byte* attributes, byte* set);

    [LibraryImport(Library)]
    private static partial int posix_spawn_file_actions_init(byte* actions);

    [LibraryImport(Library)]
    private static partial void posix_spawn_file_actions_destroy(byte* actions);

    [LibraryImport(Library)]
    private static partial int posix_spawn_file_actions_adddup2(byte* actions, int ours, int its);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int posix_spawn_file_actions_addopen(byte* actions, int descriptor, string path, int flags, uint mode);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int posix_spawnp(out int processId, string file, byte* actions, byte* attributes, byte** argv, byte** envp);
}

/// <summary>One descriptor to wait for; C's struct pollfd.</summary>
internal struct PollEntry(int descriptor)
{
    private const short CanRead = 1;

    public int Descriptor = descriptor;
    public short Wanted = CanRead;
    public short Found;
}

/// <summary>Strings as C's null-terminated array of them; freed when disposed.</summary>
internal sealed unsafe class NativeStrings : IDisposable
{
    private readonly int _count;

    public NativeStrings(IReadOnlyList<string> strings)
    {
        _count = strings.Count;
        Pointer = (byte**)NativeMemory.AllocZeroed((nuint)_count + 1, (nuint)sizeof(byte*));
        for (int i = 0; i < _count; i++) Pointer[i] = (byte*)Marshal.StringToCoTaskMemUTF8(strings[i]);
    }

    public byte** Pointer { get; }

    public void Dispose()
    {
        for (int i = 0; i < _count; i++) Marshal.FreeCoTaskMem((nint)Pointer[i]);
        NativeMemory.Free(Pointer);
    }
}
