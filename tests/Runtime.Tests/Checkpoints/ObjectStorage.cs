namespace DistTrain.Runtime.Tests;

/// <summary>Checkpoints in memory, by key, as an object store keeps them: no files, no folders but in keys.</summary>
internal sealed class ObjectStorage : ICheckpointStorage
{
    private readonly SortedDictionary<string, byte[]> _objects = new(StringComparer.Ordinal);

    internal string[] Keys
    {
        get
        {
            lock (_objects) return [.. _objects.Keys];
        }
    }

    public string PlaceOf(string name) => $"objects://{name}";

    public IReadOnlyList<string> ListFolders() => [.. Keys.Select(key => key.Split('/')[0]).Distinct()];

    public ICheckpointFile? Open(string name)
    {
        lock (_objects) return _objects.TryGetValue(name, out byte[]? content) ? new BytesFile(content) : null;
    }

    public void Write(string name, Action<Stream> write)
    {
        using MemoryStream content = new();
        write(content);
        lock (_objects) _objects[name] = content.ToArray();
    }

    public void Delete(string name)
    {
        lock (_objects) _objects.Remove(name);
    }

    public void DeleteFolder(string folder)
    {
        lock (_objects)
        {
            foreach (string key in _objects.Keys.Where(key => key.StartsWith($"{folder}/", StringComparison.Ordinal)).ToArray()) _objects.Remove(key);
        }
    }
}
