using System.Numerics;

namespace DistTrain.Collectives;

/// <summary>
/// The one order of additions that fixed-order collectives keep, for every element, whatever the sizes of messages and buckets and whatever carries them: a balanced
/// binary tree over consecutive parts, cut at the largest power of two below their number. Blocks of parts that are an aligned power of two are whole subtrees, so that
/// a rank may add its own 2^k parts first, and the tree over the ranks goes on: the same bits for any number of ranks that is a power of two.
/// </summary>
public static class FixedTree
{
    /// <summary>Where a run of at least two parts is cut: the number of parts in the left half.</summary>
    public static int LeftCount(int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 2);
        return 1 << BitOperations.Log2((uint)(count - 1));
    }

    /// <summary>Adds up parts along the tree.</summary>
    /// <param name="first">The first part.</param>
    /// <param name="count">How many parts, at least one.</param>
    /// <param name="leaf">Gives a part.</param>
    /// <param name="add">Adds a left and a right sum.</param>
    public static T Reduce<T>(int first, int count, Func<int, T> leaf, Func<T, T, T> add)
    {
        ArgumentNullException.ThrowIfNull(leaf);
        ArgumentNullException.ThrowIfNull(add);
        if (count == 1) return leaf(first);
        int left = LeftCount(count);
        return add(Reduce(first, left, leaf, add), Reduce(first + left, count - left, leaf, add));
    }

    /// <summary>An all-reduce along the tree: sums go up to rank 0 in ceil(log2 n) steps with all data, and the result goes down in as many. Also the tree for small messages.</summary>
    public static AllReducePlan CreatePlan(int worldSize)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        List<Transfer[]> up = [];
        for (int distance = 1; distance < worldSize; distance *= 2)
        {
            int half = distance;
            up.Add([.. Enumerable.Range(0, worldSize).Where(r => r % (2 * half) == 0 && r + half < worldSize).Select(r => new Transfer(r + half, r, 0, 1, Reduces: true))]);
        }
        IEnumerable<IEnumerable<Transfer>> down = Enumerable.Reverse(up).Select(step => step.Select(t => new Transfer(t.To, t.From, 0, 1, Reduces: false)));
        return new AllReducePlan("tree", worldSize, 1, [.. up, .. down]);
    }
}
