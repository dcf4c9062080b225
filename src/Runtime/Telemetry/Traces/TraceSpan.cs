namespace DistTrain.Runtime;

/// <summary>Something that was done, from when to when.</summary>
/// <param name="Activity">What.</param>
/// <param name="Began">By this host's monotonic clock, as <see cref="System.Diagnostics.Stopwatch"/> counts.</param>
/// <param name="Ended">Likewise.</param>
/// <param name="Step">The step that the replica was at; -1: none yet.</param>
/// <param name="Bucket">The gradient bucket; -1: of none.</param>
/// <param name="Bytes">Bytes moved; -1: not said.</param>
internal readonly record struct TraceSpan(MeasuredActivity Activity, long Began, long Ended, long Step, int Bucket, long Bytes);
