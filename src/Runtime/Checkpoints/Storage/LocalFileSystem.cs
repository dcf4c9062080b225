using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DistTrain.Runtime;

/// <summary>The machine's own files.</summary>
internal sealed partial class LocalFileSystem : IFileSystem
{
    private const int ReadOnlyCloseOnExec = 0x80000;

    internal static readonly LocalFileSystem Instance = new();

    public bool DirectoryExists(string path) => Directory.Exists(path);

    public void CreateDirectory(string path) => Directory.CreateDirectory(path);

    public IEnumerable<string> ListDirectories(string path) => Directory.Exists(path) ? Directory.EnumerateDirectories(path).Select(found => Path.GetFileName(found)) : [];

    public ICheckpointFile? Open(string path)
    {
        try
        {
            return OpenExisting(path);
        }
        catch (Exception failure) when (failure is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <exception cref="FileNotFoundException">There is none.</exception>
    internal static ICheckpointFile OpenExisting(string path) => new LocalFile(File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete));

    public Stream Create(string path) => new FileStream(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16);

    public void Flush(Stream file) => ((FileStream)file).Flush(flushToDisk: true);

    public void Move(string from, string to) => File.Move(from, to, overwrite: true);

    public void Delete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (DirectoryNotFoundException)
        {
            // Then the file is not there either.
        }
    }

    public void DeleteDirectory(string path)
    {
        try
        {
            Directory.Delete(path, recursive: true);
        }
        catch (DirectoryNotFoundException)
        {
            // Somebody else removed it.
        }
    }

    // Without it a rename itself can be lost. .NET opens no directories.
    public void FlushDirectory(string path)
    {
        if (!OperatingSystem.IsLinux()) return;
        int descriptor = Open(path, ReadOnlyCloseOnExec);
        if (descriptor < 0) throw new IOException($"can't open {path} to flush it: {Marshal.GetLastPInvokeErrorMessage()}");
        int result = Flush(descriptor);
        string error = Marshal.GetLastPInvokeErrorMessage();
        _ = Close(descriptor);
        if (result != 0) throw new IOException($"can't flush {path}: {error}");
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Flush(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    private sealed class LocalFile(SafeFileHandle file) : ICheckpointFile
    {
        public long ByteCount => RandomAccess.GetLength(file);

        public int Read(Span<byte> destination, long offset) => RandomAccess.Read(file, destination, offset);

        public void Dispose() => file.Dispose();
    }
}
