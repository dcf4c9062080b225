namespace DistTrain.Ingest;

/// <summary>What one background operator of a running pipeline does.</summary>
/// <param name="Name">The operator.</param>
/// <param name="Threads">Threads that work for it now.</param>
/// <param name="BufferSize">Elements it may hold ready or in work.</param>
/// <param name="Buffered">Elements ready.</param>
/// <param name="ElementCount">Elements it has given.</param>
/// <param name="WorkPerElement">Moving average of one thread's own time for an element, waiting for other operators left out.</param>
/// <param name="BytesPerElement">Moving average of an element's size.</param>
/// <param name="WaitTime">How long its consumer has waited for it.</param>
public sealed record StageStatistics(string Name, int Threads, int BufferSize, int Buffered, long ElementCount, TimeSpan WorkPerElement, double BytesPerElement, TimeSpan WaitTime);
