using System.IO.Pipelines;
using System.Security.Cryptography;
using DistTrain.Collectives;
using DistTrain.Runtime;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace DistTrain.ParameterServer;

/// <summary>One connection to the server: greets, opens the worker's session, and serves its calls one by one until it ends. The worker's step goes back when it does.</summary>
internal sealed class WorkerConnection(ConnectionContext connection, ConnectionTable connections, ServedStore store, ParameterServerHostOptions options)
{
    private readonly ConnectionPulse _pulse = new();
    private readonly long _began = Environment.TickCount64;
    private volatile bool _isGreeted;
    private volatile OpenMessage? _open;

    /// <summary>The worker that it belongs to; null: not known yet.</summary>
    internal string? Worker => _open?.Worker;

    /// <summary>Which of the worker's sessions it belongs to.</summary>
    internal Guid Session => _open?.Session ?? default;

    private PipeReader Reader => connection.Transport.Input;

    private PipeWriter Writer => connection.Transport.Output;

    /// <summary>Ends it from any thread.</summary>
    internal void Abort(string reason) => connection.Abort(new ConnectionAbortedException(reason));

    internal async Task RunAsync()
    {
        if (!connections.TryGreet(this)) return;
        connection.Features.GetRequiredFeature<IConnectionHeartbeatFeature>().OnHeartbeat(static watched => ((WorkerConnection)watched).CheckTime(), this);
        try
        {
            await ConverseAsync().ConfigureAwait(false);
        }
        catch (ParameterProtocolException refusal)
        {
            connections.NoteRefusal($"{connection.RemoteEndPoint}: {refusal.Message}");
            await TryFailAsync(0, FailureMessage.Write(refusal)).ConfigureAwait(false);
        }
        catch (Exception end) when (IsEnd(end))
        {
            if (!_isGreeted) connections.NoteRefusal($"{connection.RemoteEndPoint}: it went, or was too slow, before it had proved who it is");
        }
        finally
        {
            connections.Remove(this);
        }
    }

    /// <summary>Whether an exception says that the connection is over.</summary>
    internal static bool IsEnd(Exception failure) => failure is ParameterConnectionException or IOException or OperationCanceledException or ObjectDisposedException;

    // Called by Kestrel each second.
    private void CheckTime()
    {
        if (!_isGreeted && TimeSpan.FromMilliseconds(Environment.TickCount64 - _began) > options.GreetingTimeout) Abort("it did not prove in time who it is");
        else if (_isGreeted && _pulse.Silence > options.IdleTimeout) Abort("it was silent for too long");
    }

    private async Task ConverseAsync()
    {
        await GreetAsync().ConfigureAwait(false);
        if (!connections.TryAdmit(this))
        {
            await TryFailAsync(0, FailureMessage.WriteFull($"the server has its {options.MaxConnectionCount:N0} connections, or is closing")).ConfigureAwait(false);
            return;
        }
        _isGreeted = true;
        _pulse.Beat();
        OpenMessage open = await ReadOpenAsync().ConfigureAwait(false);
        _open = open;
        connections.Name(this, open.Worker, open.Session);
        ParameterSession session;
        bool hasValues;
        try
        {
            (session, hasValues) = await store.OpenAsync(open).ConfigureAwait(false);
        }
        catch (Exception failure) when (!IsEnd(failure) || failure is IOException)
        {
            await TryFailAsync(0, FailureMessage.Write(failure)).ConfigureAwait(false);
            return;
        }
        await using WorkerCalls calls = new(connection, store, open, session, _pulse);
        Writer.WriteFrame(FrameKind.Opened, 0, [hasValues ? (byte)1 : (byte)0]);
        await Writer.SendAsync(_pulse).ConfigureAwait(false);
        await calls.ServeAsync().ConfigureAwait(false);
    }

    private async Task GreetAsync()
    {
        FrameHead head = await Reader.ReadHeadAsync(_pulse).ConfigureAwait(false);
        head.Expect(FrameKind.Hello, ParameterTranscript.NonceByteCount);
        byte[] nonce = new byte[ParameterTranscript.NonceByteCount];
        await Reader.ReadBytesAsync(nonce, _pulse).ConfigureAwait(false);
        ParameterTranscript transcript = new(nonce, RandomNumberGenerator.GetBytes(ParameterTranscript.NonceByteCount), store.Instance.ToByteArray());
        byte mode = options.Secret is null ? ParameterTranscript.WithoutSecret : ParameterTranscript.WithSecret;
        Writer.WriteFrame(FrameKind.Challenge, 0, [mode, .. transcript.ServerNonce, .. transcript.Instance]);
        await Writer.SendAsync(_pulse).ConfigureAwait(false);

        head = await Reader.ReadHeadAsync(_pulse).ConfigureAwait(false);
        byte[] proof = new byte[options.Secret is null ? 0 : ParameterTranscript.ProofByteCount];
        head.Expect(FrameKind.Proof, proof.Length);
        await Reader.ReadBytesAsync(proof, _pulse).ConfigureAwait(false);
        if (options.Secret is { } secret && !CryptographicOperations.FixedTimeEquals(transcript.WorkerProof(secret), proof))
            throw new ParameterProtocolException($"the worker has another job secret ({JobSecret.Variable})");
        Writer.WriteFrame(FrameKind.Welcome, 0, options.Secret is null ? [] : transcript.ServerProof(options.Secret));
        await Writer.SendAsync(_pulse).ConfigureAwait(false);
    }

    private async ValueTask<OpenMessage> ReadOpenAsync()
    {
        FrameHead head;
        do head = await Reader.ReadHeadAsync(_pulse).ConfigureAwait(false);
        while (head is { Kind: FrameKind.Alive, BodyByteCount: 0 });
        int most = Math.Min(OpenMessage.MaxByteCount, options.MaxMessageByteCount);
        if (head.BodyByteCount > most) throw new ParameterProtocolException($"a message of {head.BodyByteCount:N0} bytes, at most {most:N0} are possible here");
        head.Expect(FrameKind.Open, head.BodyByteCount);
        byte[] body = new byte[head.BodyByteCount];
        await Reader.ReadBytesAsync(body, _pulse).ConfigureAwait(false);
        return OpenMessage.Read(body, (options.MaxMessageByteCount - RemoteCall.PushByteCount) / sizeof(float));
    }

    private async Task TryFailAsync(uint request, WireWriter failure)
    {
        try
        {
            Writer.WriteFrame(FrameKind.Failure, request, failure.Written);
            await Writer.SendAsync(_pulse).ConfigureAwait(false);
        }
        catch (Exception end) when (IsEnd(end) || end is InvalidOperationException)
        {
            // Nobody is there to be told.
        }
    }
}
