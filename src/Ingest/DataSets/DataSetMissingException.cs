namespace DistTrain.Ingest;

/// <summary>A known data set is not on this machine. The message says how to get it.</summary>
public sealed class DataSetMissingException : Exception
{
    /// <summary>The data set <paramref name="name"/> was not found.</summary>
    public DataSetMissingException(string name, string message) : base(message) => DataSetName = name;

    /// <summary>What was asked for.</summary>
    public string DataSetName { get; }
}

/// <summary>No data set has that name, and it is no directory either. The message lists the names.</summary>
public sealed class DataSetUnknownException : Exception
{
    /// <summary><paramref name="name"/> is unknown.</summary>
    public DataSetUnknownException(string name)
        : base($"no data set '{name}': expected {string.Join(", ", DataSetCatalog.Names)}, or a directory with the four IDX files (train-images-idx3-ubyte[.gz], ...)") =>
        DataSetName = name;

    /// <summary>What was asked for.</summary>
    public string DataSetName { get; }
}
