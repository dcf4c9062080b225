namespace DistTrain.Collectives;

internal enum MembershipPhase : byte
{
    /// <summary>Nodes come.</summary>
    Gathering,

    /// <summary>The round is formed and runs.</summary>
    Running,

    /// <summary>The job is done; nobody comes any more.</summary>
    Ended,
}

/// <summary>A node in a group's state.</summary>
/// <param name="Node">Who it is.</param>
/// <param name="Incarnation">The process that speaks for it: one restarted under the same id has another.</param>
/// <param name="IsHere">Whether it has come to the round at hand; those of the round before that have not left are awaited.</param>
internal sealed record MembershipEntry(MembershipNode Node, ulong Incarnation, bool IsHere);

/// <summary>
/// What an elastic group agrees on, with all that can happen to it as functions from state to state. Immutable; a function that changes nothing returns the state itself. Each change has a number,
/// so that two equal states are one moment.
/// </summary>
internal sealed record MembershipState
{
    internal required int MinNodeCount { get; init; }

    internal required int MaxNodeCount { get; init; }

    internal MembershipPhase Phase { get; init; }

    internal long Round { get; init; } = 1;

    internal long Change { get; init; }

    internal int FailureCount { get; init; }

    /// <summary>By node rank once the round runs; nodes that stay come first and in their old order.</summary>
    internal IReadOnlyList<MembershipEntry> Entries { get; init; } = [];

    internal int HereCount => Entries.Count(entry => entry.IsHere);

    /// <summary>Whether the round can begin as it stands; the caller decides whether the last call is over if there is room for more.</summary>
    internal bool CanBegin => Phase == MembershipPhase.Gathering && Entries.Count >= MinNodeCount && HereCount == Entries.Count;

    internal bool IsFull => Entries.Count >= MaxNodeCount;

    internal int IndexOf(string id)
    {
        for (int i = 0; i < Entries.Count; i++)
            if (Entries[i].Node.Id == id) return i;
        return -1;
    }

    internal MembershipEntry? Find(string id, ulong incarnation) => Entries.FirstOrDefault(entry => entry.Node.Id == id && entry.Incarnation == incarnation);

    /// <summary>A node comes. One more than the group takes changes nothing: it waits. While a round runs, a newcomer ends it, and so does a member that starts over.</summary>
    internal MembershipState Join(MembershipNode node, ulong incarnation)
    {
        if (Phase == MembershipPhase.Ended) return this;
        int index = IndexOf(node.Id);
        if (index < 0 && IsFull) return this;
        var entry = new MembershipEntry(node, incarnation, IsHere: true);
        if (index >= 0 && Phase == MembershipPhase.Gathering && Entries[index] == entry) return this;
        // A node that is a member in another process died unnoticed: it must not get round a limit of restarts by being quick.
        bool hasDied = index >= 0 && Entries[index].Incarnation != incarnation;
        MembershipState gathering = Phase == MembershipPhase.Running ? Gather() : this;
        MembershipEntry[] entries = index < 0 ? [.. gathering.Entries, entry] : [.. gathering.Entries.Select((other, i) => i == index ? entry : other)];
        return gathering with { Entries = entries, FailureCount = FailureCount + (hasDied ? 1 : 0), Change = Change + 1 };
    }

    /// <summary>A node goes, in good order or because it failed. The round it ran in is over.</summary>
    internal MembershipState Leave(string id, ulong incarnation, bool hasFailed)
    {
        if (Phase == MembershipPhase.Ended || Find(id, incarnation) is null) return this;
        MembershipState gathering = Phase == MembershipPhase.Running ? Gather() : this;
        return gathering with
        {
            Entries = [.. gathering.Entries.Where(entry => entry.Node.Id != id)],
            FailureCount = FailureCount + (hasFailed ? 1 : 0),
            Change = Change + 1,
        };
    }

    /// <summary>The nodes of a running round shall come together anew. A round that is over already can't be ended once more.</summary>
    internal MembershipState Restart(long round, bool hasFailed) =>
        Phase == MembershipPhase.Running && Round == round ? Gather() with { FailureCount = FailureCount + (hasFailed ? 1 : 0), Change = Change + 1 } : this;

    /// <summary>All who are here begin the round.</summary>
    internal MembershipState Begin() => CanBegin ? this with { Phase = MembershipPhase.Running, Change = Change + 1 } : this;

    /// <summary>The job is done.</summary>
    internal MembershipState End() => Phase == MembershipPhase.Ended ? this : this with { Phase = MembershipPhase.Ended, Entries = [], Change = Change + 1 };

    /// <returns>The running round as a node sees it; null if none runs, or not with it.</returns>
    internal MembershipRound? RoundOf(string id, ulong incarnation)
    {
        int index = IndexOf(id);
        if (Phase != MembershipPhase.Running || index < 0 || Entries[index].Incarnation != incarnation) return null;
        return new MembershipRound(
            Round,
            index,
            Entries.Take(index).Sum(entry => entry.Node.SlotCount),
            Entries.Sum(entry => entry.Node.SlotCount),
            [.. Entries.Select(entry => entry.Node)],
            FailureCount);
    }

    private MembershipState Gather() =>
        this with { Phase = MembershipPhase.Gathering, Round = Round + 1, Entries = [.. Entries.Select(entry => entry with { IsHere = false })] };
}
