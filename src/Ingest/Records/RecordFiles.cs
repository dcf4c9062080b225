namespace DistTrain.Ingest;

/// <summary>What lists of files have in common.</summary>
internal static class RecordFiles
{
    /// <summary>The paths as an array of their own; braces in addresses, which no address has itself, expanded.</summary>
    /// <exception cref="ArgumentException">No path, or an empty one.</exception>
    internal static string[] Check(IEnumerable<string> paths)
    {
        ArgumentNullException.ThrowIfNull(paths);
        string[] files = [.. paths];
        if (files.Length == 0) throw new ArgumentException("no file was given: an empty list is more often a mistake than meant", nameof(paths));
        for (int i = 0; i < files.Length; i++)
            if (string.IsNullOrEmpty(files[i])) throw new ArgumentException($"path {i} of {files.Length} is empty", nameof(paths));
        return [.. files.SelectMany(file => HttpByteSource.IsAddress(file) ? BraceExpansion.Expand(file) : [file])];
    }
}
