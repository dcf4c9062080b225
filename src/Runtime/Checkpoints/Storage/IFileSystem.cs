namespace DistTrain.Runtime;

/// <summary>
/// What durable writing asks of a file system, one call of it each: so that tests can fail it at every one, and lose what was not flushed. Missing files and directories are no error to
/// those who open, list or delete them.
/// </summary>
internal interface IFileSystem
{
    bool DirectoryExists(string path);

    /// <summary>Makes one directory, whose parent exists.</summary>
    void CreateDirectory(string path);

    IEnumerable<string> ListDirectories(string path);

    ICheckpointFile? Open(string path);

    /// <summary>Makes a new file; the caller disposes the stream.</summary>
    Stream Create(string path);

    /// <summary>Has the bytes of a stream from <see cref="Create"/> on the disk before it returns.</summary>
    void Flush(Stream file);

    /// <summary>Renames a file over another at once.</summary>
    void Move(string from, string to);

    void Delete(string path);

    void DeleteDirectory(string path);

    /// <summary>Has the names in a directory on the disk before it returns.</summary>
    void FlushDirectory(string path);
}
