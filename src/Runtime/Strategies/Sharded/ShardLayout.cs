namespace DistTrain.Runtime;

/// <summary>A parameter's place in a unit.</summary>
/// <param name="Parameter">Its number in the order of registration.</param>
/// <param name="First">Its first element in the unit, a multiple of 16.</param>
/// <param name="ElementCount">Its elements.</param>
internal readonly record struct ShardMember(int Parameter, long First, long ElementCount);

/// <summary>Parameters that lie together and are sent together.</summary>
/// <param name="Members">In the order in which they lie.</param>
/// <param name="ElementCount">Elements with padding: as many for each rank, whole 64-byte lines.</param>
internal sealed record ShardUnitPlan(IReadOnlyList<ShardMember> Members, long ElementCount);

/// <summary>A part of one parameter that one rank owns.</summary>
/// <param name="Parameter">The parameter's number in the order of registration.</param>
/// <param name="First">The part's first element in the parameter.</param>
/// <param name="ElementCount">Its elements.</param>
/// <param name="Unit">The unit that it lies in.</param>
/// <param name="FirstInSlice">Its first element in the rank's slice of that unit.</param>
internal readonly record struct OwnedRange(int Parameter, long First, long ElementCount, int Unit, long FirstInSlice);

/// <summary>
/// Who owns which elements: parameters are laid out in units of bounded size, in reverse order of registration as gradients come; each unit is padded to a multiple of 64 bytes times the ranks and
/// cut evenly, and rank r owns slice r of every unit (Zhao et al. 2023, arXiv 2304.11277, section 3.2). The parameters of one module stay together, so that its functions need one unit. Depends on
/// sizes alone: all ranks make the same one.
/// </summary>
internal sealed class ShardLayout
{
    private const int LineElementCount = 16;

    private ShardLayout(int rankCount, IReadOnlyList<ShardUnitPlan> units) => (RankCount, Units) = (rankCount, units);

    /// <summary>Ranks that share the elements.</summary>
    internal int RankCount { get; }

    /// <summary>In the order in which backward completes them.</summary>
    internal IReadOnlyList<ShardUnitPlan> Units { get; }

    /// <summary>Elements with padding, of all ranks.</summary>
    internal long ElementCount => Units.Sum(unit => unit.ElementCount);

    /// <summary>Makes the layout.</summary>
    /// <param name="elementCounts">Of each parameter in order of registration.</param>
    /// <param name="modules">The number of each parameter's module.</param>
    /// <param name="rankCount">Ranks.</param>
    /// <param name="capacity">Elements of a unit, unless one module has more by itself.</param>
    /// <param name="firstCapacity">Elements of the first.</param>
    internal static ShardLayout Create(IReadOnlyList<long> elementCounts, IReadOnlyList<int> modules, int rankCount, long capacity, long firstCapacity)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(rankCount);
        List<ShardUnitPlan> units = [];
        List<ShardMember> members = [];
        long end = 0;
        for (int i = elementCounts.Count - 1; i >= 0; i--)
        {
            long moduleEnd = end;
            for (int k = i; k >= 0 && modules[k] == modules[i]; k--) moduleEnd += Padded(elementCounts[k], LineElementCount);
            bool beginsModule = i == elementCounts.Count - 1 || modules[i + 1] != modules[i];
            if (beginsModule && members.Count > 0 && moduleEnd > (units.Count == 0 ? Math.Min(firstCapacity, capacity) : capacity)) Close();
            members.Add(new ShardMember(i, end, elementCounts[i]));
            end += Padded(elementCounts[i], LineElementCount);
        }
        if (members.Count > 0) Close();
        return new ShardLayout(rankCount, units);

        void Close()
        {
            units.Add(new ShardUnitPlan([.. members], Padded(Math.Max(end, 1), (long)LineElementCount * rankCount)));
            members.Clear();
            end = 0;
        }
    }

    /// <summary>What a rank owns, at most one part of each parameter.</summary>
    internal IEnumerable<OwnedRange> OwnedBy(int rank)
    {
        for (int u = 0; u < Units.Count; u++)
        {
            long slice = Units[u].ElementCount / RankCount, first = rank * slice, end = first + slice;
            foreach (ShardMember member in Units[u].Members)
            {
                long from = Math.Max(first, member.First), to = Math.Min(end, member.First + member.ElementCount);
                if (from < to) yield return new OwnedRange(member.Parameter, from - member.First, to - from, u, from - first);
            }
        }
    }

    private static long Padded(long count, long multiple) => (count + multiple - 1) / multiple * multiple;
}
