namespace DistTrain.Runtime.Tests;

/// <summary>
/// A disk in memory that promises no more than POSIX does: a file's bytes are safe once it was flushed, a directory's names once the directory was; what was not, a loss of power keeps, loses or
/// reorders as it likes. It can be cut off or fail at any one of the operations that change it.
/// </summary>
internal sealed class SimulatedDisk : IFileSystem
{
    private readonly FolderNode _root = new();
    private bool _isOff;

    /// <summary>Operations done that change something.</summary>
    internal int OperationCount { get; private set; }

    /// <summary>At this operation the power goes; it and all later ones throw.</summary>
    internal int PowerEndsAt { get; init; } = int.MaxValue;

    /// <summary>At this operation an <see cref="IOException"/> is thrown, once.</summary>
    internal int FailsAt { get; set; } = int.MaxValue;

    /// <summary>From this operation on there is no room for more bytes or names.</summary>
    internal int FullFrom { get; set; } = int.MaxValue;

    /// <summary>Whether flushing files or directories does nothing: disks that lie.</summary>
    internal (bool Files, bool Directories) IgnoresFlush { get; init; }

    /// <summary>The paths of all files.</summary>
    internal string[] Files => [.. FilesIn(_root, "").Order(StringComparer.Ordinal)];

    public bool DirectoryExists(string path) => Find(path) is FolderNode;

    public void CreateDirectory(string path)
    {
        Change(needsRoom: true);
        Parent(path).Do(new([], [(Name(path), new FolderNode())]));
    }

    public IEnumerable<string> ListDirectories(string path) => Find(path) is FolderNode folder ? [.. folder.Now.Where(entry => entry.Value is FolderNode).Select(entry => entry.Key)] : [];

    public ICheckpointFile? Open(string path) => Find(path) is FileNode file ? new BytesFile([.. file.Now]) : null;

    public Stream Create(string path)
    {
        Change(needsRoom: true);
        FileNode file = new();
        Parent(path).Do(new([], [(Name(path), file)]));
        return new Writing(this, file);
    }

    public void Flush(Stream file)
    {
        Change();
        if (IgnoresFlush.Files) return;
        FileNode node = ((Writing)file).File;
        node.Durable = [.. node.Now];
    }

    public void Move(string from, string to)
    {
        Change(needsRoom: true);
        FolderNode folder = Parent(from);
        folder.Do(new([Name(from)], [(Name(to), folder.Now[Name(from)])]));
    }

    public void Delete(string path)
    {
        Change();
        if (Find(path) is FileNode) Parent(path).Do(new([Name(path)], []));
    }

    public void DeleteDirectory(string path)
    {
        if (Find(path) is not FolderNode folder) return;
        foreach (string name in folder.Now.Keys.ToArray()) Delete($"{path}/{name}");
        Change();
        Parent(path).Do(new([Name(path)], []));
    }

    public void FlushDirectory(string path)
    {
        Change();
        if (Find(path) is not FolderNode folder) throw new IOException($"can't open {path} to flush it: No such file or directory");
        if (!IgnoresFlush.Directories) folder.Flush();
    }

    /// <summary>What is found when the machine is on again.</summary>
    /// <param name="survives">Whether a change that was not flushed has survived. Bytes that were not flushed are, where it says so, there to some part, or zeros.</param>
    /// <param name="random">Decides about bytes; null: all or none.</param>
    /// <param name="powerEndsAt">When the power goes again.</param>
    internal SimulatedDisk AfterPowerLoss(Func<bool> survives, Random? random = null, int powerEndsAt = int.MaxValue)
    {
        SimulatedDisk disk = new() { PowerEndsAt = powerEndsAt };
        Restore(_root, disk._root, survives, random, []);
        return disk;
    }

    private static void Restore(FolderNode from, FolderNode to, Func<bool> survives, Random? random, Dictionary<FileNode, FileNode> files)
    {
        foreach ((string name, Node node) in from.AfterPowerLoss(survives))
        {
            if (node is FolderNode folder)
            {
                FolderNode restored = new();
                to.Now[name] = to.Durable[name] = restored;
                Restore(folder, restored, survives, random, files);
                continue;
            }
            FileNode file = (FileNode)node;
            if (!files.TryGetValue(file, out FileNode? copy)) files[file] = copy = file.AfterPowerLoss(survives, random);
            to.Now[name] = to.Durable[name] = copy;
        }
    }

    private void Change(bool needsRoom = false)
    {
        int operation = OperationCount++;
        if (_isOff || operation >= PowerEndsAt)
        {
            _isOff = true;
            throw new PowerLossException();
        }
        if (operation == FailsAt) throw new IOException($"operation {operation} failed: Input/output error");
        if (needsRoom && operation >= FullFrom) throw new IOException("No space left on device");
    }

    private Node? Find(string path)
    {
        Node? node = _root;
        foreach (string name in path.Split('/', StringSplitOptions.RemoveEmptyEntries)) node = (node as FolderNode)?.Now.GetValueOrDefault(name);
        return node;
    }

    private FolderNode Parent(string path) => Find(Path.GetDirectoryName(path)!) as FolderNode ?? throw new DirectoryNotFoundException($"Could not find a part of the path '{path}'");

    private static string Name(string path) => Path.GetFileName(path);

    private static IEnumerable<string> FilesIn(FolderNode folder, string path) =>
        folder.Now.SelectMany(entry => entry.Value is FolderNode inner ? FilesIn(inner, $"{path}/{entry.Key}") : [$"{path}/{entry.Key}"]);

    private abstract class Node;

    private sealed class FileNode : Node
    {
        internal List<byte> Now { get; } = [];

        internal byte[] Durable { get; set; } = [];

        internal FileNode AfterPowerLoss(Func<bool> survives, Random? random)
        {
            byte[] found = Durable.AsSpan().SequenceEqual(Now.ToArray()) || !survives() ? Durable : [.. Now];
            if (found != Durable && random is not null)
            {
                found = found[..random.Next(found.Length + 1)];
                if (random.Next(2) == 0) found.AsSpan(random.Next(found.Length + 1)).Clear();
            }
            FileNode file = new() { Durable = found };
            file.Now.AddRange(found);
            return file;
        }
    }

    private sealed record NameChange(string[] Gone, (string Name, Node Node)[] Set);

    private sealed class FolderNode : Node
    {
        private readonly List<NameChange> _unflushed = [];

        internal Dictionary<string, Node> Now { get; } = [];

        internal Dictionary<string, Node> Durable { get; } = [];

        internal void Do(NameChange change)
        {
            Apply(Now, change);
            _unflushed.Add(change);
        }

        internal void Flush()
        {
            foreach (NameChange change in _unflushed) Apply(Durable, change);
            _unflushed.Clear();
        }

        internal Dictionary<string, Node> AfterPowerLoss(Func<bool> survives)
        {
            Dictionary<string, Node> found = new(Durable);
            foreach (NameChange change in _unflushed.Where(_ => survives())) Apply(found, change);
            return found;
        }

        private static void Apply(Dictionary<string, Node> names, NameChange change)
        {
            foreach (string name in change.Gone) names.Remove(name);
            foreach ((string name, Node node) in change.Set) names[name] = node;
        }
    }

    private sealed class Writing(SimulatedDisk disk, FileNode file) : MemoryStream
    {
        internal FileNode File => file;

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            disk.Change(needsRoom: true);
            file.Now.AddRange(buffer);
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));
    }
}

/// <summary>The machine is off: nothing goes on.</summary>
internal sealed class PowerLossException() : Exception("the power is gone");
