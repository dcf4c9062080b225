namespace DistTrain.Ingest;

/// <summary>
/// A file or stream does not hold what its format promises: it is damaged, cut short, or not of that format. The message names the
/// source and the byte offset, what was expected and what was found.
/// </summary>
public sealed class DataFormatException : Exception
{
    /// <summary>Something at <paramref name="offset"/> in <paramref name="source"/> is wrong.</summary>
    /// <param name="source">The file, or what else names the stream.</param>
    /// <param name="offset">Bytes from its beginning; in compressed files, of the decompressed data.</param>
    /// <param name="problem">What was expected and what was found.</param>
    /// <param name="innerException">The cause, if another exception told of it.</param>
    public DataFormatException(string source, long offset, string problem, Exception? innerException = null)
        : base($"{source}, byte {offset}: {problem}", innerException)
    {
        File = source;
        Offset = offset;
        Problem = problem;
    }

    /// <summary>The file, or what else names the stream.</summary>
    public string File { get; }

    /// <summary>Bytes from the beginning; in compressed files, of the decompressed data.</summary>
    public long Offset { get; }

    /// <summary>The message without the place.</summary>
    internal string Problem { get; }

    /// <summary>The same with the record that was being read, which who read the bytes did not know.</summary>
    internal DataFormatException At(string operatorName, long record) => new(File, Offset, $"{operatorName}, record {record}: {Problem}", this);
}
