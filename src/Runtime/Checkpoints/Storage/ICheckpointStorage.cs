namespace DistTrain.Runtime;

/// <summary>
/// Where checkpoints lie: folders one level deep with files in them, such as <c>step-000000000120/manifest.json</c>, an object store's keys with a common prefix. A storage keeps three promises that
/// a checkpoint's safety rests on: a file appears whole or not at all, <see cref="Write"/> returns when it will survive a loss of power, and what was written later
/// never survives without what was written before. Used by one writer at a time, or by one of each replica
/// where they save shares, each with files of its own; read from any thread.
/// </summary>
public interface ICheckpointStorage
{
    /// <summary>Where a name lies, for messages: a path, a URL. The empty name is the storage itself.</summary>
    string PlaceOf(string name);

    /// <summary>The names of the folders, in any order; none where nothing was written yet.</summary>
    /// <exception cref="IOException">The storage can't be reached.</exception>
    IReadOnlyList<string> ListFolders();

    /// <summary>Opens a file for reading; null if there is none. The caller disposes it.</summary>
    /// <exception cref="IOException">The storage can't be reached, or the file not read.</exception>
    ICheckpointFile? Open(string name);

    /// <summary>
    /// Makes or replaces a file, and its folder if need be, with what <paramref name="write"/> writes. Blocks until it is durable. If anything fails, what was there before is unchanged.
    /// </summary>
    /// <exception cref="IOException">It can't be written: no room, no permission, not reached.</exception>
    void Write(string name, Action<Stream> write);

    /// <summary>Removes a file; none there is no error.</summary>
    void Delete(string name);

    /// <summary>Removes a folder with all that is in it; none there is no error.</summary>
    void DeleteFolder(string folder);
}
