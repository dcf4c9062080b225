namespace DistTrain.Runtime;

/// <summary>Training was asked to stop before its end, and did so behind a whole step. A run with the same checkpoints goes on from there: exit code 75.</summary>
public sealed class PreemptedException(long step, bool isSaved)
    : Exception($"training stopped after {step} step{(step == 1 ? "" : "s")} because it was asked to{(isSaved ? "; a checkpoint of them is written" : ", and this process saves none of them")}")
{
    /// <summary>Steps done.</summary>
    public long Step { get; } = step;

    /// <summary>Whether they are saved.</summary>
    public bool IsSaved { get; } = isSaved;
}
