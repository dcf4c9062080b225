namespace DistTrain.Runtime.Tests;

/// <summary>A storage that something happens to before each file is written.</summary>
internal sealed class TroubledStorage(ICheckpointStorage storage, Action<string> beforeWrite) : ICheckpointStorage
{
    /// <summary>Before anything is read or listed.</summary>
    internal Action? BeforeRead { get; set; }

    public string PlaceOf(string name) => storage.PlaceOf(name);

    public IReadOnlyList<string> ListFolders()
    {
        BeforeRead?.Invoke();
        return storage.ListFolders();
    }

    public ICheckpointFile? Open(string name)
    {
        BeforeRead?.Invoke();
        return storage.Open(name);
    }

    public void Write(string name, Action<Stream> write)
    {
        beforeWrite(name);
        storage.Write(name, write);
    }

    public void Delete(string name) => storage.Delete(name);

    public void DeleteFolder(string folder) => storage.DeleteFolder(folder);
}
