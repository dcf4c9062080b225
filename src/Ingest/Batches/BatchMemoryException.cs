namespace DistTrain.Ingest;

/// <summary>There is no batch memory of the size asked for, or not within the limit set.</summary>
public sealed class BatchMemoryException(string message, Exception? innerException = null) : Exception(message, innerException);
