using System.Globalization;

namespace DistTrain.Bench;

/// <summary>A peer's turn. On rank 0 it asks the peer's process; on the others, which have none, it does nothing: they wait asleep in the next turn's first barrier.</summary>
public sealed class PeerContender(string name, PeerProcess? peer, CollectiveShape shape, long bytes, TextWriter log) : Contender(name)
{
    /// <inheritdoc/>
    public override double? Take(int calls, int warmCalls)
    {
        if (peer is null || HasFailed) return null;
        double? seconds = peer.SecondsPerCall(string.Create(CultureInfo.InvariantCulture, $"collective {shape.Name} {bytes} {calls}"), 0, out string? reason);
        HasFailed = seconds is null;
        if (HasFailed && reason != "unsupported") log.WriteLine($"{peer.Name}: {shape.Name} {bytes}: {reason}");
        return seconds;
    }
}
