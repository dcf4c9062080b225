using System.Net;
using System.Security.Cryptography.X509Certificates;
using DistTrain.Collectives;

namespace DistTrain.ParameterServer;

/// <summary>Where a parameter server listens, whom it lets in, and how much it takes upon itself.</summary>
public sealed record ParameterServerHostOptions
{
    /// <summary>The address to listen on; null: all of the machine's.</summary>
    public IPAddress? Address { get; init; }

    /// <summary>The port; 0: the system chooses a free one, which <see cref="ParameterServerHost.Port"/> tells.</summary>
    public int Port { get; init; }

    /// <summary>The job's secret: workers must prove that they know it, and the server proves it to them. Null: workers are known by their certificates.</summary>
    public JobSecret? Secret { get; init; }

    /// <summary>The server's certificate with its private key: all bytes go through TLS (1.2 or 1.3). Null: none do. Stays the caller's.</summary>
    public X509Certificate2? Certificate { get; init; }

    /// <summary>With a certificate: workers must have one too, made for TLS clients, that one of these vouches for. Null: they need none. The certificates stay the caller's.</summary>
    public X509Certificate2Collection? WorkerAuthorities { get; init; }

    /// <summary>Workers connected at a time. Further ones are told to come again.</summary>
    public int MaxConnectionCount { get; init; } = 4096;

    /// <summary>Connections at a time that have not yet proved who they are. A further one takes the place of the oldest.</summary>
    public int MaxGreetingCount { get; init; } = 64;

    /// <summary>Bytes of the longest message: the variables of this server, as f32, fit in it.</summary>
    public int MaxMessageByteCount { get; init; } = 1 << 30;

    /// <summary>How long a connection may take to prove who it is.</summary>
    public TimeSpan GreetingTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>A worker that sends nothing and takes nothing for so long, not even that it lives (it says so each second), is taken for lost: its step is given to another. At least 3 s.</summary>
    public TimeSpan IdleTimeout { get; init; } = TimeSpan.FromSeconds(30);

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfNegative(Port);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(Port, IPEndPoint.MaxPort);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxConnectionCount);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(MaxGreetingCount);
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxMessageByteCount, 1024);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(GreetingTimeout, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(IdleTimeout, TimeSpan.FromSeconds(3));
        if (WorkerAuthorities is not null && Certificate is null) throw new ArgumentException($"{nameof(WorkerAuthorities)} without {nameof(Certificate)}: workers show their certificates in TLS, which the server needs its own for");
        if (Secret is null && WorkerAuthorities is not null && WorkerAuthorities.Count == 0) throw new ArgumentException($"{nameof(WorkerAuthorities)} is empty: nobody could come in");
        if (Secret is null && WorkerAuthorities is null) throw new ArgumentException($"neither {nameof(Secret)} nor {nameof(WorkerAuthorities)}: anybody who reaches the port could read and change the model");
        if (Certificate is { HasPrivateKey: false }) throw new ArgumentException("the server's certificate has no private key", nameof(Certificate));
    }
}
