using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using DistTrain.Runtime;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;

namespace DistTrain.ParameterServer;

/// <summary>
/// Serves a <see cref="ParameterStore"/> to workers elsewhere (<see cref="RemoteParameterServer"/>): a listener of Kestrel's whose connections are pipes from end to end. Strangers, other jobs and
/// garbage are turned away at bounded cost; a worker that goes or falls silent leaves its step to another.
/// </summary>
public sealed class ParameterServerHost : IAsyncDisposable
{
    private const string ClientPurpose = "1.3.6.1.5.5.7.3.2";
    private readonly WebApplication _application;
    private readonly ConnectionTable _connections;
    private readonly ServedStore _store;
    private bool _isDisposed;

    private ParameterServerHost(ParameterStore store, ParameterServerHostOptions options)
    {
        _connections = new ConnectionTable(options.MaxConnectionCount, options.MaxGreetingCount);
        _store = new ServedStore(store, _connections, keptPushCount: 2 * options.MaxConnectionCount);
        // Empty: nothing of Kestrel's is taken from the environment or from files.
        WebApplicationBuilder builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Services.AddSingleton(new ParameterConnectionHandler(_connections, _store, options));
        // Slices go out one behind the other: the next is copied while the one before is sent.
        builder.WebHost.UseKestrelCore().UseSockets(sockets => sockets.MaxWriteBufferSize = 2 * FramePipes.SliceByteCount).ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MaxConcurrentConnections = options.MaxConnectionCount + options.MaxGreetingCount;
            if (options.Address is { } address) kestrel.Listen(address, options.Port, listen => Configure(listen, options));
            else kestrel.Listen(Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any, options.Port, listen => Configure(listen, options));
        });
        _application = builder.Build();
    }

    /// <summary>Where it listens.</summary>
    public IPEndPoint EndPoint { get; private set; } = new(IPAddress.None, 0);

    /// <summary>The port it listens on.</summary>
    public int Port => EndPoint.Port;

    /// <summary>Workers connected now.</summary>
    public int ConnectionCount => _connections.Count;

    /// <summary>Connections turned away so far.</summary>
    public long RefusalCount => _connections.RefusalCount;

    /// <summary>Who was turned away last, and why; null if nobody was.</summary>
    public string? LastRefusal => _connections.LastRefusal;

    /// <summary>Starts to serve a store, which stays the caller's and is disposed after the host.</summary>
    /// <param name="store">What is served.</param>
    /// <param name="options">Where, to whom, and how much.</param>
    /// <param name="cancellation">Ends the start.</param>
    /// <exception cref="ArgumentException">Options that don't fit together, or that would let anybody in.</exception>
    /// <exception cref="ParameterServerException">The port can't be listened on.</exception>
    public static async Task<ParameterServerHost> StartAsync(ParameterStore store, ParameterServerHostOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        ArgumentNullException.ThrowIfNull(options);
        options.Check();
        ParameterServerHost host = new(store, options);
        try
        {
            await host._application.StartAsync(cancellation).ConfigureAwait(false);
            string url = host._application.Services.GetRequiredService<IServer>().Features.GetRequiredFeature<IServerAddressesFeature>().Addresses.Single();
            host.EndPoint = new IPEndPoint(options.Address ?? IPAddress.IPv6Any, new Uri(url).Port);
            return host;
        }
        catch (Exception failure)
        {
            await host.DisposeAsync().ConfigureAwait(false);
            if (failure is IOException or SocketException) throw new ParameterServerException($"the parameter server can't listen on port {options.Port} of {options.Address?.ToString() ?? "all addresses"}: {failure.Message}", failure);
            throw;
        }
    }

    /// <summary>Ends all connections and stops to listen. The store is as the last push left it.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isDisposed) return;
        _isDisposed = true;
        _connections.Close();
        await _application.StopAsync().ConfigureAwait(false);
        await _application.DisposeAsync().ConfigureAwait(false);
        _store.Dispose();
    }

    private static void Configure(ListenOptions listen, ParameterServerHostOptions options)
    {
        if (options.Certificate is not null)
        {
            SslServerAuthenticationOptions tls = Tls(options);
            listen.UseHttps(new TlsHandshakeCallbackOptions { OnConnection = _ => new ValueTask<SslServerAuthenticationOptions>(tls), HandshakeTimeout = options.GreetingTimeout });
        }
        listen.UseConnectionHandler<ParameterConnectionHandler>();
    }

    private static SslServerAuthenticationOptions Tls(ParameterServerHostOptions options)
    {
        SslServerAuthenticationOptions tls = new()
        {
            ServerCertificate = options.Certificate,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            ClientCertificateRequired = options.WorkerAuthorities is not null,
        };
        if (options.WorkerAuthorities is { } authorities)
        {
            // Certificates made for a job have no list of revoked ones to ask.
            tls.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            tls.CertificateChainPolicy.CustomTrustStore.AddRange(authorities);
            tls.CertificateChainPolicy.ApplicationPolicy.Add(new Oid(ClientPurpose));
            tls.RemoteCertificateValidationCallback = static (_, certificate, _, errors) => certificate is not null && errors == SslPolicyErrors.None;
        }
        return tls;
    }
}

/// <summary>What Kestrel hands connections to.</summary>
internal sealed class ParameterConnectionHandler(ConnectionTable connections, ServedStore store, ParameterServerHostOptions options) : ConnectionHandler
{
    public override Task OnConnectedAsync(ConnectionContext connection) => new WorkerConnection(connection, connections, store, options).RunAsync();
}
