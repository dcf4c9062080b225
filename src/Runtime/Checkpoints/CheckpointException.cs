namespace DistTrain.Runtime;

/// <summary>A checkpoint can't be read or written. The message names the file, what was found and what to do.</summary>
public sealed class CheckpointException(string message, Exception? inner = null) : Exception(message, inner);
