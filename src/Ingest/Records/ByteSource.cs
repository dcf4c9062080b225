namespace DistTrain.Ingest;

/// <summary>Opens what paths and addresses stand for.</summary>
internal static class ByteSource
{
    /// <summary>
    /// Opens a path, a <c>file://</c> address, or an address of a server. Blocks as the operating system does.
    /// </summary>
    /// <param name="operatorName">The operator that reads, as it is called in the program; for messages.</param>
    /// <param name="location">The path or address.</param>
    /// <param name="context">The running pipeline.</param>
    /// <param name="options">How a local file will be read.</param>
    /// <exception cref="IngestException">There is no such file, it can't be read, or the address is of a kind that can't be.</exception>
    internal static IByteSource Open(string operatorName, string location, StreamContext context, FileOptions options = FileOptions.SequentialScan)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        string? scheme = SchemeOf(location);
        return scheme switch
        {
            null or "file" => OpenLocal(operatorName, location, options),
            "http" or "https" => OpenAddress(operatorName, location, context),
            _ => throw new IngestException(operatorName, -1, new SourceLocation(location),
                $"addresses that begin with {scheme}:// can't be read: give a local path (mount the storage) or an address of a kind that can"),
        };
    }

    /// <summary>A location as it may be printed: an address without user, password and query.</summary>
    internal static string NameOf(string location) => HttpByteSource.IsAddress(location) ? HttpFile.NameOf(location) : location;

    /// <summary>Whether a location is a local file, as far as its spelling tells.</summary>
    internal static bool IsLocal(string location) => SchemeOf(location) is null or "file";

    /// <summary>Opens a local file.</summary>
    /// <exception cref="IngestException">There is no such file, or it can't be read.</exception>
    internal static FileByteSource OpenLocal(string operatorName, string location, FileOptions options)
    {
        string path = PathOf(location);
        try
        {
            return new FileByteSource(path, options);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            string problem = Directory.Exists(path) ? $"it is a folder: give its files, with ListFiles(\"{Path.Join(path, "*")}\") for instance"
                : e is FileNotFoundException or DirectoryNotFoundException ? $"there is no such file (current folder: {Environment.CurrentDirectory})"
                : $"it can't be opened: {e.Message}";
            throw new IngestException(operatorName, -1, new SourceLocation(path), problem, e);
        }
    }

    private static HttpByteSource OpenAddress(string operatorName, string location, StreamContext context)
    {
        try
        {
            return new HttpByteSource(location, context.Options.Http);
        }
        catch (ArgumentException e)
        {
            throw new IngestException(operatorName, -1, new SourceLocation(NameOf(location)), "it is not an http or https address", e);
        }
    }

    private static string? SchemeOf(string location)
    {
        int end = location.IndexOf("://", StringComparison.Ordinal);
        if (end <= 0 || File.Exists(location)) return null;
        foreach (char c in location.AsSpan(0, end))
            if (!char.IsAsciiLetterOrDigit(c) && c is not ('+' or '-' or '.')) return null;
        return location[..end].ToLowerInvariant();
    }

    private static string PathOf(string location) => SchemeOf(location) is null ? location : new Uri(location).LocalPath;
}
