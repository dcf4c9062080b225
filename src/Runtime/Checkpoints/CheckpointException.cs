namespace DistTrain.Runtime;

/// <summary>A checkpoint can't be read or written. The message names the file, what was found and what to do.</summary>
public sealed class CheckpointException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>Whether the checkpoint is whole, but of a version that this library does not go on from: an older checkpoint does not take its place.</summary>
    public bool IsOtherVersion { get; init; }
}
