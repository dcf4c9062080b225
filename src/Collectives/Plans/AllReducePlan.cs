using System.Text;

namespace DistTrain.Collectives;

/// <summary>
/// How an all-reduce goes: steps, each a set of messages that are on their way at the same time, over data cut into chunks. Pure data: an executor runs it, a
/// simulator predicts its time, a validator proves it, and it can be printed. Within a step a rank sends what it had before the step.
/// </summary>
public sealed class AllReducePlan
{
    private readonly Transfer[][] _steps;

    internal AllReducePlan(string name, int worldSize, int chunkCount, IEnumerable<IEnumerable<Transfer>> steps)
    {
        Name = name;
        WorldSize = worldSize;
        ChunkCount = chunkCount;
        _steps = [.. steps.Select(step => step.ToArray())];
    }

    /// <summary>The algorithm.</summary>
    public string Name { get; }

    /// <summary>Ranks.</summary>
    public int WorldSize { get; }

    /// <summary>Chunks that the data are cut into.</summary>
    public int ChunkCount { get; }

    /// <summary>How many steps there are.</summary>
    public int StepCount => _steps.Length;

    /// <summary>The messages of one step.</summary>
    public ReadOnlySpan<Transfer> Step(int step) => _steps[step];

    /// <summary>What one rank does in one step: at most one message out and one in for the plans here, but any number may be.</summary>
    public IEnumerable<Transfer> OfRank(int step, int rank) => _steps[step].Where(t => t.From == rank || t.To == rank);

    /// <summary>The whole plan for people, a line a step.</summary>
    public string Format()
    {
        StringBuilder text = new();
        text.Append($"{Name}, {WorldSize} ranks, {ChunkCount} chunks").AppendLine();
        for (int i = 0; i < StepCount; i++) text.Append($"step {i}: ").AppendJoin(", ", _steps[i]).AppendLine();
        return text.ToString();
    }
}
