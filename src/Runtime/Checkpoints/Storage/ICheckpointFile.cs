namespace DistTrain.Runtime;

/// <summary>A file of a checkpoint, open for reading in any order. Thread-safe; blocks while reading.</summary>
public interface ICheckpointFile : IDisposable
{
    /// <summary>Its length.</summary>
    long ByteCount { get; }

    /// <summary>Reads bytes from a place of the file; fewer than asked for where that is as well, none only at its end.</summary>
    /// <param name="destination">Takes them.</param>
    /// <param name="offset">Bytes from the file's beginning.</param>
    /// <returns>How many were read.</returns>
    /// <exception cref="IOException">They can't be read.</exception>
    int Read(Span<byte> destination, long offset);
}
