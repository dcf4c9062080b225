using System.Security.Cryptography.X509Certificates;
using DistTrain.Collectives;

namespace DistTrain.Runtime;

/// <summary>How a worker reaches a parameter server, proves who it is, and how long it waits.</summary>
public sealed record RemoteParameterServerOptions
{
    /// <summary>The job's secret: both sides prove that they know it. Null: the server is known by its certificate alone, and does not ask.</summary>
    public JobSecret? Secret { get; init; }

    /// <summary>Whether all bytes go through TLS (1.2 or 1.3). Without it what is sent can be read, and by whoever stands between changed, on the way.</summary>
    public bool UsesTls { get; init; }

    /// <summary>With TLS: who may vouch for the server's certificate; null: whom the system trusts. The certificates stay the caller's.</summary>
    public X509Certificate2Collection? ServerAuthorities { get; init; }

    /// <summary>With TLS: the name that the server's certificate must carry; null: the host's.</summary>
    public string? ServerName { get; init; }

    /// <summary>With TLS: this worker's own certificate with its private key, where the server asks for one. Stays the caller's.</summary>
    public X509Certificate2? Certificate { get; init; }

    /// <summary>The longest that one try to connect may take, greeting included.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>A server that is owed an answer and sends nothing for so long, not even that it lives, is taken for lost. At least 3 s.</summary>
    public TimeSpan SilenceTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How long a server may be away, at the start or between, before a call fails. Until then connecting is tried again, with longer and longer pauses.</summary>
    public TimeSpan ReconnectTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Ends the wait for a server that is away; calls under way come to their end. None: only the time does.</summary>
    public CancellationToken Stopping { get; init; }

    /// <summary>The first pause between two tries; each further one is twice as long, somewhat shorter by chance.</summary>
    internal TimeSpan FirstPause { get; init; } = TimeSpan.FromMilliseconds(50);

    /// <summary>The longest pause.</summary>
    internal TimeSpan LongestPause { get; init; } = TimeSpan.FromSeconds(2);

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(ConnectTimeout, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(SilenceTimeout, 3 * ParameterTranscript.AliveInterval);
        ArgumentOutOfRangeException.ThrowIfLessThan(ReconnectTimeout, TimeSpan.Zero);
        if (Secret is null && !UsesTls) throw new ArgumentException($"neither {nameof(Secret)} nor {nameof(UsesTls)}: the worker could not tell its server from a stranger");
        if (!UsesTls && (ServerAuthorities is not null || ServerName is not null || Certificate is not null)) throw new ArgumentException($"certificates without {nameof(UsesTls)} have no effect");
        if (Certificate is { HasPrivateKey: false }) throw new ArgumentException("the worker's certificate has no private key", nameof(Certificate));
    }
}
