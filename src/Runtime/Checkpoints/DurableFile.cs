using System.Runtime.InteropServices;

namespace DistTrain.Runtime;

/// <summary>
/// Writes files that survive a crash at any moment: into a temporary file in the same directory, flushed to the disk, then renamed over the old one, and the
/// directory flushed (T. Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
/// </summary>
internal static partial class DurableFile
{
    private const int ReadOnlyCloseOnExec = 0x80000;

    /// <summary>Makes or replaces <paramref name="path"/> with what <paramref name="write"/> writes. If anything fails, what was there before is unchanged.</summary>
    internal static void Write(string path, Action<FileStream> write)
    {
        string directory = Path.GetDirectoryName(Path.GetFullPath(path))!;
        string temporary = Path.Combine(directory, $".{Path.GetFileName(path)}.{Environment.ProcessId}.{Guid.NewGuid():N}.tmp");
        try
        {
            using (FileStream file = new(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16))
            {
                write(file);
                file.Flush(flushToDisk: true);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
        FlushDirectory(directory);
    }

    // Without it the rename itself can be lost. .NET opens no directories.
    internal static void FlushDirectory(string directory)
    {
        if (!OperatingSystem.IsLinux()) return;
        int descriptor = Open(directory, ReadOnlyCloseOnExec);
        if (descriptor < 0) throw new IOException($"can't open {directory} to flush it: {Marshal.GetLastPInvokeErrorMessage()}");
        int result = Flush(descriptor);
        string error = Marshal.GetLastPInvokeErrorMessage();
        _ = Close(descriptor);
        if (result != 0) throw new IOException($"can't flush {directory}: {error}");
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Flush(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
