using System.Text;

namespace DistTrain.Collectives;

/// <summary>A group's state as the value of one key. At its largest, with all nodes that a group can have, it still is one value.</summary>
internal static class MembershipCode
{
    private const byte Version = 1;

    internal static byte[] Encode(MembershipState state)
    {
        using var stream = new MemoryStream();
        using (var writer = new BinaryWriter(stream, Encoding.UTF8))
        {
            writer.Write(Version);
            writer.Write((byte)state.Phase);
            writer.Write(state.MinNodeCount);
            writer.Write(state.MaxNodeCount);
            writer.Write(state.Round);
            writer.Write(state.Change);
            writer.Write(state.FailureCount);
            writer.Write(state.Entries.Count);
            foreach (MembershipEntry entry in state.Entries)
            {
                writer.Write(entry.Node.Id);
                writer.Write(entry.Node.SlotCount);
                writer.Write(entry.Node.Address);
                writer.Write(entry.Incarnation);
                writer.Write(entry.IsHere);
            }
        }
        return stream.ToArray();
    }

    /// <exception cref="RendezvousException">The value is no state; the message names the key.</exception>
    internal static MembershipState Decode(byte[] value, string where)
    {
        try
        {
            using var stream = new MemoryStream(value);
            using var reader = new BinaryReader(stream, Encoding.UTF8);
            if (reader.ReadByte() is var version && version != Version) throw new RendezvousException($"{where}: version {version} of an elastic group's state, this process knows {Version}");
            var phase = (MembershipPhase)reader.ReadByte();
            var state = new MembershipState
            {
                Phase = phase, MinNodeCount = reader.ReadInt32(), MaxNodeCount = reader.ReadInt32(), Round = reader.ReadInt64(), Change = reader.ReadInt64(), FailureCount = reader.ReadInt32(),
            };
            int count = reader.ReadInt32();
            if (!Enum.IsDefined(phase) || count < 0 || count > ElasticMembershipOptions.NodeCountLimit) throw new RendezvousException($"{where}: no state of an elastic group");
            state = state with { Entries = [.. Enumerable.Range(0, count).Select(_ => ReadEntry(reader))] };
            return stream.Position == stream.Length && IsPossible(state) ? state : throw new RendezvousException($"{where}: no state of an elastic group");
        }
        catch (Exception failure) when (failure is IOException or ArgumentException or FormatException)
        {
            throw new RendezvousException($"{where}: no state of an elastic group", failure);
        }
    }

    private static bool IsPossible(MembershipState state) =>
        state.MinNodeCount >= 1 && state.MinNodeCount <= state.MaxNodeCount && state.MaxNodeCount <= ElasticMembershipOptions.NodeCountLimit && state.Entries.Count <= state.MaxNodeCount
        && state.Round >= 1 && state.Change >= 0 && state.FailureCount >= 0 && state.Entries.Select(entry => entry.Node.Id).Distinct(StringComparer.Ordinal).Count() == state.Entries.Count;

    private static MembershipEntry ReadEntry(BinaryReader reader)
    {
        var node = new MembershipNode(reader.ReadString(), reader.ReadInt32(), reader.ReadString());
        node.Check();
        return new MembershipEntry(node, reader.ReadUInt64(), reader.ReadBoolean());
    }
}
