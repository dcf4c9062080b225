using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DistTrain.Runtime;

/// <summary>Makes connections: TCP, TLS, greeting, the worker's session. Nothing that comes from the other side is trusted before it has proved that it belongs to the job.</summary>
internal sealed class RemoteDialer(RemoteEndPoint server, OpenMessage open)
{
    private const string ServerPurpose = "1.3.6.1.5.5.7.3.1";

    /// <summary>One try.</summary>
    /// <exception cref="ParameterConnectionException">Nobody there, or it broke: another try may succeed.</exception>
    /// <exception cref="ParameterServerException">The two don't belong together.</exception>
    /// <exception cref="StateMismatchException">The server has other variables.</exception>
    internal async ValueTask<RemoteConnection> ConnectAsync(CancellationToken cancellation)
    {
        using CancellationTokenSource limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        limit.CancelAfter(server.Options.ConnectTimeout);
        try
        {
            RemoteConnection connection = await OpenStreamAsync(limit.Token).ConfigureAwait(false);
            try
            {
                using (limit.Token.UnsafeRegister(static broken => ((RemoteConnection)broken!).Abort("it did not greet in time"), connection)) await GreetAsync(connection).ConfigureAwait(false);
                connection.StartToWatch();
                return connection;
            }
            catch (Exception failure) when (RemoteConnection.IsBreak(failure))
            {
                ParameterConnectionException broken = connection.Broken(failure);
                connection.Dispose();
                if (server.Options.UsesTls && failure is IOException { InnerException: not SocketException and not null }) throw Refused($"TLS failed after the greeting ({failure.InnerException!.Message}); it may not accept this worker's certificate", failure);
                throw broken;
            }
            catch
            {
                connection.Dispose();
                throw;
            }
        }
        catch (Exception failure) when (failure is SocketException or IOException or OperationCanceledException)
        {
            cancellation.ThrowIfCancellationRequested();
            throw new ParameterConnectionException(failure is OperationCanceledException ? $"no connection within {server.Options.ConnectTimeout.TotalSeconds:0.#} s" : failure.Message, failure);
        }
    }

    private async ValueTask<RemoteConnection> OpenStreamAsync(CancellationToken cancellation)
    {
        Socket socket = await OpenSocketAsync(cancellation).ConfigureAwait(false);
        try
        {
            NetworkStream stream = new(socket, ownsSocket: true);
            return new RemoteConnection(socket, server.Options.UsesTls ? await SecureAsync(stream, cancellation).ConfigureAwait(false) : stream, server.Options.SilenceTimeout);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private async ValueTask<Socket> OpenSocketAsync(CancellationToken cancellation)
    {
        SocketException? last = null;
        foreach (IPAddress address in await Dns.GetHostAddressesAsync(server.Host, cancellation).ConfigureAwait(false))
        {
            Socket socket = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            try
            {
                await socket.ConnectAsync(new IPEndPoint(address, server.Port), cancellation).ConfigureAwait(false);
                // Without a server, a port of this host that the system also gives out can become the worker's own, which is then connected with itself.
                return Equals(socket.LocalEndPoint, socket.RemoteEndPoint) ? throw new SocketException((int)SocketError.ConnectionRefused) : socket;
            }
            catch (Exception failure)
            {
                socket.Dispose();
                if (failure is not SocketException refused) throw;
                last = refused;
            }
        }
        throw last ?? new SocketException((int)SocketError.HostNotFound);
    }

    private async ValueTask<Stream> SecureAsync(NetworkStream stream, CancellationToken cancellation)
    {
        SslStream secure = new(stream, leaveInnerStreamOpen: false);
        try
        {
            await secure.AuthenticateAsClientAsync(TlsOptions(), cancellation).ConfigureAwait(false);
            return secure;
        }
        catch (Exception failure)
        {
            await secure.DisposeAsync().ConfigureAwait(false);
            if (failure is AuthenticationException) throw Refused($"TLS failed: {failure.Message}", failure);
            throw;
        }
    }

    private SslClientAuthenticationOptions TlsOptions()
    {
        RemoteParameterServerOptions options = server.Options;
        X509ChainPolicy? policy = null;
        if (options.ServerAuthorities is { } authorities)
        {
            // A certificate made for the job has no list of revoked ones to ask.
            policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.AddRange(authorities);
            policy.ApplicationPolicy.Add(new Oid(ServerPurpose));
        }
        return new SslClientAuthenticationOptions
        {
            TargetHost = options.ServerName ?? server.Host,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            CertificateChainPolicy = policy,
            ClientCertificates = options.Certificate is { } own ? [own] : null,
            LocalCertificateSelectionCallback = options.Certificate is { } certificate ? (_, _, _, _, _) => certificate : null,
        };
    }

    private async ValueTask GreetAsync(RemoteConnection connection)
    {
        byte[] nonce = RandomNumberGenerator.GetBytes(ParameterTranscript.NonceByteCount);
        byte[] challenge = await AskAsync(connection, FrameKind.Hello, nonce, FrameKind.Challenge, ParameterTranscript.ChallengeByteCount).ConfigureAwait(false);
        byte[] instance = challenge[^ParameterTranscript.InstanceByteCount..];
        ParameterTranscript transcript = new(nonce, challenge[1..^ParameterTranscript.InstanceByteCount], instance);
        bool asks = challenge[0] == ParameterTranscript.WithSecret;
        if (asks && server.Options.Secret is null) throw Refused("it wants the job's secret, which this worker was not given");
        if (!asks && server.Options.Secret is not null) throw Refused("it does not ask for the job's secret, so it can't be this job's server");
        byte[] proof = asks ? transcript.WorkerProof(server.Options.Secret!) : [];
        byte[] welcome = await AskAsync(connection, FrameKind.Proof, proof, FrameKind.Welcome, proof.Length).ConfigureAwait(false);
        if (asks && !CryptographicOperations.FixedTimeEquals(transcript.ServerProof(server.Options.Secret!), welcome))
            throw Refused("it can't prove that it knows the job's secret: something else listens there in its place");
        byte[] opened = await AskAsync(connection, FrameKind.Open, open.Write().Written.ToArray(), FrameKind.Opened, 1).ConfigureAwait(false);
        (connection.Instance, connection.FoundValues) = (new Guid(instance), opened[0] != 0);
    }

    private async ValueTask<byte[]> AskAsync(RemoteConnection connection, FrameKind question, byte[] body, FrameKind kind, int byteCount)
    {
        connection.Writer.WriteFrame(question, 0, body);
        await connection.Writer.SendAsync(connection.Pulse).ConfigureAwait(false);
        FrameHead head;
        do head = await ReadHeadAsync(connection).ConfigureAwait(false);
        while (head.Kind == FrameKind.Alive && head.BodyByteCount == 0);
        if (head.Kind == FrameKind.Failure) throw await connection.ReadFailureAsync(head, server.ToString()).ConfigureAwait(false);
        head.Expect(kind, byteCount);
        byte[] answer = new byte[byteCount];
        await connection.Reader.ReadBytesAsync(answer, connection.Pulse).ConfigureAwait(false);
        return answer;
    }

    private async ValueTask<FrameHead> ReadHeadAsync(RemoteConnection connection)
    {
        try
        {
            return await connection.Reader.ReadHeadAsync(connection.Pulse).ConfigureAwait(false);
        }
        catch (ParameterProtocolException failure)
        {
            throw Refused(failure.Message, failure);
        }
    }

    private ParameterServerException Refused(string why, Exception? inner = null) => new($"{server}: {why}", inner);
}
