namespace DistTrain.Collectives;

/// <summary>How long a <see cref="TcpStoreClient"/> waits for its server.</summary>
public sealed record TcpStoreClientOptions
{
    /// <summary>The longest that the first connection may take, with all its tries: the server may start later than its clients.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>The longest that a request may take that waits for no key, getting a lost connection back included.</summary>
    public TimeSpan RequestTimeout { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>The longest that one try of one address may take, greeting included.</summary>
    public TimeSpan TryTimeout { get; init; } = TimeSpan.FromSeconds(5);

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(ConnectTimeout, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(RequestTimeout, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(TryTimeout, TimeSpan.Zero);
        RendezvousLimits.CheckTimeout(ConnectTimeout);
        RendezvousLimits.CheckTimeout(RequestTimeout);
        RendezvousLimits.CheckTimeout(TryTimeout);
    }
}
