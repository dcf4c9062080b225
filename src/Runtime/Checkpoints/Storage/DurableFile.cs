namespace DistTrain.Runtime;

/// <summary>
/// Writes files that survive a crash at any moment: into a temporary file in the same directory, flushed to the disk, then renamed over the old one, and the
/// directory flushed (T. Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014).
/// </summary>
internal static class DurableFile
{
    internal static void Write(string path, Action<Stream> write) => Write(LocalFileSystem.Instance, path, write);

    /// <summary>Makes or replaces <paramref name="path"/> with what <paramref name="write"/> writes. If anything fails, what was there before is unchanged.</summary>
    internal static void Write(IFileSystem files, string path, Action<Stream> write)
    {
        string directory = Path.GetDirectoryName(Path.GetFullPath(path))!;
        string temporary = Path.Combine(directory, $".{Path.GetFileName(path)}.{Environment.ProcessId}.{Guid.NewGuid():N}.tmp");
        try
        {
            using (Stream file = files.Create(temporary))
            {
                write(file);
                files.Flush(file);
            }
            files.Move(temporary, path);
        }
        catch
        {
            TryDelete(files, temporary);
            throw;
        }
        files.FlushDirectory(directory);
    }

    /// <summary>Makes a directory, and those above it that are missing, each with its name on the disk.</summary>
    internal static void MakeDirectory(IFileSystem files, string path)
    {
        if (files.DirectoryExists(path)) return;
        string? parent = Path.GetDirectoryName(path);
        if (parent is not null) MakeDirectory(files, parent);
        files.CreateDirectory(path);
        if (parent is not null) files.FlushDirectory(parent);
    }

    // What made the writing fail is the news, not that a disk in trouble does not delete either.
    private static void TryDelete(IFileSystem files, string path)
    {
        try
        {
            files.Delete(path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // It goes with its folder.
        }
    }
}
