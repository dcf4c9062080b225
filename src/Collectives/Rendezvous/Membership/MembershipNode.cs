using System.Text;

namespace DistTrain.Collectives;

/// <summary>One launcher of an elastic group.</summary>
/// <param name="Id">Its name in the group, which a restarted one takes over: 1 to 64 bytes of UTF-8.</param>
/// <param name="SlotCount">The ranks it runs, 1 to 4096.</param>
/// <param name="Address">Where others reach it, for whatever the group needs that: up to 128 bytes of UTF-8, may be empty.</param>
public sealed record MembershipNode(string Id, int SlotCount, string Address = "")
{
    internal const int MaxIdByteCount = 64, MaxAddressByteCount = 128, MaxSlotCount = 4096;

    internal void Check()
    {
        ArgumentException.ThrowIfNullOrEmpty(Id);
        ArgumentNullException.ThrowIfNull(Address);
        if (Encoding.UTF8.GetByteCount(Id) > MaxIdByteCount) throw new ArgumentException($"the node id '{Id[..16]}...' is longer than {MaxIdByteCount} bytes");
        if (Encoding.UTF8.GetByteCount(Address) > MaxAddressByteCount) throw new ArgumentException($"the address of node '{Id}' is longer than {MaxAddressByteCount} bytes");
        if (SlotCount is < 1 or > MaxSlotCount) throw new ArgumentException($"node '{Id}' has {SlotCount} slots, possible are 1 to {MaxSlotCount}");
    }
}

/// <summary>A round of an elastic group as one of its nodes sees it: who takes part, and which ranks are this node's. Equal on all nodes but for what is this node's.</summary>
/// <param name="Number">The round, from 1; never given twice in a group.</param>
/// <param name="NodeRank">This node's place in <paramref name="Nodes"/>.</param>
/// <param name="FirstRank">The first of this node's ranks; it has as many as slots, one after another.</param>
/// <param name="WorldSize">The ranks of all nodes together.</param>
/// <param name="Nodes">All nodes, by node rank. Nodes that stay keep their order from round to round.</param>
/// <param name="FailureCount">How many times so far a node was lost or came back without having left; what a limit of restarts counts.</param>
public sealed record MembershipRound(long Number, int NodeRank, int FirstRank, int WorldSize, IReadOnlyList<MembershipNode> Nodes, int FailureCount);
