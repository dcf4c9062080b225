namespace DistTrain.Bench;

/// <summary>Files that are written when all is measured: looked at before.</summary>
internal static class OutputFile
{
    /// <exception cref="UsageException">The file's folder is not there, or the name is a folder's.</exception>
    public static void Check(string option, string? path)
    {
        if (path is null or "-") return;
        if (path.Length == 0 || Directory.Exists(path) || !Directory.Exists(Path.GetDirectoryName(Path.GetFullPath(path))))
            throw new UsageException($"{option} '{path}': expected the name of a file in a folder that exists");
    }
}
