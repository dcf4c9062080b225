namespace DistTrain.Collectives;

/// <summary>How an elastic group forms and when a node counts as lost. Must be equal on all nodes; the numbers of nodes are checked.</summary>
public sealed record ElasticMembershipOptions
{
    /// <summary>Nodes that a group can have.</summary>
    public const int NodeCountLimit = 256;

    /// <summary>The fewest nodes that a round starts with.</summary>
    public required int MinNodeCount { get; init; }

    /// <summary>The most; further ones wait until there is room.</summary>
    public required int MaxNodeCount { get; init; }

    /// <summary>How long a round with enough nodes, but not the most, waits for another to come.</summary>
    public TimeSpan LastCall { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>How often a node shows that it lives and looks at others.</summary>
    public TimeSpan BeatInterval { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a node may show no life, by the clock of who watches it, before it counts as lost.</summary>
    public TimeSpan BeatTimeout { get; init; } = TimeSpan.FromSeconds(20);

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MinNodeCount, 1, nameof(MinNodeCount));
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxNodeCount, MinNodeCount, nameof(MaxNodeCount));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(MaxNodeCount, NodeCountLimit, nameof(MaxNodeCount));
        ArgumentOutOfRangeException.ThrowIfLessThan(LastCall, TimeSpan.Zero, nameof(LastCall));
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(BeatInterval, TimeSpan.Zero, nameof(BeatInterval));
        if (BeatTimeout < 3 * BeatInterval) throw new ArgumentException($"a beat timeout of {BeatTimeout} is less than three beats of {BeatInterval}: a late one would be a death");
    }
}
