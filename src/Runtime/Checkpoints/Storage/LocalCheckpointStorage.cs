namespace DistTrain.Runtime;

/// <summary>Checkpoints in a folder of a local disk, or of a share that all processes of a job see.</summary>
public sealed class LocalCheckpointStorage : ICheckpointStorage
{
    private readonly IFileSystem _files;
    private readonly string _root;

    /// <param name="folder">Made when the first file is written.</param>
    public LocalCheckpointStorage(string folder)
        : this(folder, LocalFileSystem.Instance)
    {
    }

    internal LocalCheckpointStorage(string folder, IFileSystem files)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        (_root, _files) = (Path.GetFullPath(folder), files);
    }

    /// <inheritdoc/>
    public string PlaceOf(string name) => name.Length == 0 ? _root : Path.Combine(_root, name);

    /// <inheritdoc/>
    public IReadOnlyList<string> ListFolders() => [.. _files.ListDirectories(_root)];

    /// <inheritdoc/>
    public ICheckpointFile? Open(string name) => _files.Open(PlaceOf(name));

    /// <inheritdoc/>
    public void Write(string name, Action<Stream> write)
    {
        ArgumentNullException.ThrowIfNull(write);
        string path = PlaceOf(name);
        DurableFile.MakeDirectory(_files, Path.GetDirectoryName(path)!);
        DurableFile.Write(_files, path, write);
        // The folder may have been made by a process that was killed before it had flushed the folder's own name.
        _files.FlushDirectory(_root);
    }

    /// <inheritdoc/>
    public void Delete(string name) => _files.Delete(PlaceOf(name));

    /// <inheritdoc/>
    public void DeleteFolder(string folder) => _files.DeleteDirectory(PlaceOf(folder));
}
