namespace DistTrain.Cli;

/// <summary>How one start of this node's ranks ended.</summary>
/// <param name="FirstFailure">The rank whose end was the first cause; null if none failed.</param>
/// <param name="IsComplete">All ranks ended well by themselves.</param>
internal sealed record GroupResult(RankExit? FirstFailure, bool IsComplete);
