using System.Numerics;

namespace DistTrain.Collectives;

/// <summary>
/// Two binary trees at once (P. Sanders, J. Speck, J. L. Träff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan", Parallel Computing 35, 2009): half of the data is added up
/// along each and comes back down it, in chunks one behind the other. A rank is an inner node of at most one of the trees, and the messages are timed so that in every step each rank sends
/// at most one and receives at most one: about 4 log2 n steps of latency, and links as busy as a ring keeps them but for filling and draining.
/// </summary>
public static class DoubleBinaryTreePlan
{
    /// <summary>Bytes of a chunk that more chunks are made for, where the caller does not say: 64 KiB.</summary>
    public const int DefaultSegmentByteCount = 1 << 16;

    /// <summary>The most chunks that one tree's half of the data is cut into.</summary>
    public const int MostChunksPerTree = 64;

    /// <summary>How many chunks each tree's half is cut into: a power of two, so that few plans serve all sizes.</summary>
    /// <param name="worldSize">Ranks. Two have nothing to pipeline: each tree is one message.</param>
    /// <param name="bytes">The data of one rank.</param>
    /// <param name="segmentByteCount">Bytes of a chunk at least, but for the smallest data; 0: <see cref="DefaultSegmentByteCount"/>.</param>
    public static int ChunksPerTree(int worldSize, double bytes, int segmentByteCount = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfNegative(segmentByteCount);
        double segments = bytes / 2 / (segmentByteCount > 0 ? segmentByteCount : DefaultSegmentByteCount);
        return worldSize <= 2 || !(segments >= 2) ? 1 : 1 << BitOperations.Log2((uint)Math.Min(segments, MostChunksPerTree));
    }

    /// <summary>Steps that adding up takes at most, and that coming down takes: 2 log2 n, rounded down, and two more for each chunk behind the first; one for two ranks.</summary>
    public static int MostSteps(int worldSize, int chunksPerTree)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(chunksPerTree);
        return worldSize == 1 ? 0 : (worldSize == 2 ? 1 : 2 * BitOperations.Log2((uint)worldSize)) + (2 * (chunksPerTree - 1));
    }

    /// <summary>The whole plan: the first half of the chunks goes by the first tree, the second half by the second.</summary>
    /// <param name="worldSize">Ranks.</param>
    /// <param name="chunksPerTree">Chunks of each tree's half.</param>
    public static AllReducePlan Create(int worldSize, int chunksPerTree = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(chunksPerTree);
        List<Edge> edges = Edges(worldSize);
        int[] first = FirstSteps(worldSize, edges);
        int steps = edges.Count == 0 ? 0 : first.Max() + 1 + (2 * (chunksPerTree - 1));
        List<Transfer>[] all = [.. Enumerable.Range(0, 2 * steps).Select(_ => new List<Transfer>())];
        for (int i = 0; i < edges.Count; i++)
        {
            Edge e = edges[i];
            for (int chunk = 0; chunk < chunksPerTree; chunk++)
            {
                // Up is down run backwards, but that chunks come in the same order.
                int number = (e.Tree * chunksPerTree) + chunk, up = steps - 1 - (first[i] + (2 * (chunksPerTree - 1 - chunk))), down = steps + first[i] + (2 * chunk);
                all[up].Add(new Transfer(e.Child, e.Parent, number, 1, Reduces: true, e.IsLeft));
                all[down].Add(new Transfer(e.Parent, e.Child, number, 1, Reduces: false));
            }
        }
        return new AllReducePlan("double tree", worldSize, 2 * chunksPerTree, all.Where(step => step.Count > 0));
    }

    /// <summary>The rank above each rank in one of the trees; -1 above the root.</summary>
    public static int[] Parents(int worldSize, int tree)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(worldSize);
        ArgumentOutOfRangeException.ThrowIfNegative(tree);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(tree, 1);
        int[] parents = [.. Enumerable.Repeat(-1, worldSize)];
        foreach (Edge e in Edges(worldSize)) parents[e.Child] = e.Tree == tree ? e.Parent : parents[e.Child];
        return parents;
    }

    private readonly record struct Edge(int Parent, int Child, int Tree, bool IsLeft);

    // Of both trees, those above before those below.
    private static List<Edge> Edges(int worldSize)
    {
        List<Edge> edges = [];
        // Places of odd number are the inner nodes. Where the number of ranks is even, the second tree is the first one's mirror image, else it is the first one moved on by a rank.
        Grow(edges, 0, 0, worldSize, -1, place => place);
        Grow(edges, 1, 0, worldSize, -1, worldSize % 2 == 0 ? place => worldSize - 1 - place : place => (place + 1) % worldSize);
        return edges;
    }

    // A tree over consecutive places, numbered in order: all before the root in its left part, which is complete, all behind in the right one.
    private static void Grow(List<Edge> edges, int tree, int start, int count, int parent, Func<int, int> rankAt)
    {
        if (count == 0) return;
        int left = (1 << BitOperations.Log2((uint)count)) - 1, root = start + left;
        if (parent >= 0) edges.Add(new Edge(rankAt(parent), rankAt(root), tree, root < parent));
        Grow(edges, tree, start, left, root, rankAt);
        Grow(edges, tree, root + 1, count - left - 1, root, rankAt);
    }

    // The step in which the first chunk goes down each edge: the next one of the edge's color behind that in which it came to the parent.
    private static int[] FirstSteps(int worldSize, List<Edge> edges)
    {
        int[] color = Colors(worldSize, edges), first = new int[edges.Count];
        int[,] arrival = new int[2, worldSize];
        for (int rank = 0; rank < worldSize; rank++) (arrival[0, rank], arrival[1, rank]) = (-1, -1);
        for (int i = 0; i < edges.Count; i++)
        {
            int next = arrival[edges[i].Tree, edges[i].Parent] + 1;
            first[i] = arrival[edges[i].Tree, edges[i].Child] = next % 2 == color[i] ? next : next + 1;
        }
        return first;
    }

    // Edges of color 0 are used in even steps, the others in odd ones: no two from one parent, no two to one child have the same. A parent has at most two edges, since it is an inner node of one tree only,
    // and a child one from each tree; so edges that may not be alike form paths and circles of even length, along which colors alternate.
    private static int[] Colors(int worldSize, List<Edge> edges)
    {
        ILookup<int, int> byParent = Enumerable.Range(0, edges.Count).ToLookup(i => edges[i].Parent), byChild = Enumerable.Range(0, edges.Count).ToLookup(i => edges[i].Child);
        int[] color = [.. Enumerable.Repeat(-1, edges.Count)];
        // Two ranks: both messages go at once, one each way.
        if (worldSize == 2) return new int[edges.Count];
        Stack<int> open = new();
        for (int start = 0; start < edges.Count; start++)
        {
            if (color[start] >= 0) continue;
            color[start] = 0;
            open.Push(start);
            while (open.TryPop(out int edge))
            {
                foreach (int other in byParent[edges[edge].Parent].Concat(byChild[edges[edge].Child]))
                {
                    if (color[other] >= 0) continue;
                    color[other] = 1 - color[edge];
                    open.Push(other);
                }
            }
        }
        return color;
    }
}
