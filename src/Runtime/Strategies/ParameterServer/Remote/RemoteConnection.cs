using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Net.Sockets;

namespace DistTrain.Runtime;

/// <summary>
/// One connection of a worker to a server, greeted. Whatever ends it, a timeout included, is a <see cref="ParameterConnectionException"/>, after which it is of no more use. One exchange at a time; a
/// timer says meanwhile that the worker lives.
/// </summary>
internal sealed class RemoteConnection : IDisposable
{
    private readonly Socket _socket;
    private readonly Stream _stream;
    private readonly TimeSpan _silenceTimeout;
    private readonly SemaphoreSlim _writing = new(1, 1);
    private readonly byte[] _small = new byte[StatisticsMessage.ByteCount];
    private readonly long _openedAt = Environment.TickCount64;
    private Timer? _timer;
    private string? _aborted;
    private volatile bool _isOwed;

    internal RemoteConnection(Socket socket, Stream stream, TimeSpan silenceTimeout)
    {
        (_socket, _stream, _silenceTimeout) = (socket, stream, silenceTimeout);
        Reader = PipeReader.Create(stream, new StreamPipeReaderOptions(bufferSize: FramePipes.SliceByteCount, minimumReadSize: 4096, leaveOpen: true));
        Writer = PipeWriter.Create(stream, new StreamPipeWriterOptions(minimumBufferSize: FramePipes.SliceByteCount, leaveOpen: true));
    }

    internal PipeReader Reader { get; }

    internal PipeWriter Writer { get; }

    internal ConnectionPulse Pulse { get; } = new();

    /// <summary>The server's start that it belongs to.</summary>
    internal Guid Instance { get; set; }

    /// <summary>Whether the server had values when the session was opened.</summary>
    internal bool FoundValues { get; set; }

    /// <summary>How long it has stood.</summary>
    internal TimeSpan Age => TimeSpan.FromMilliseconds(Environment.TickCount64 - _openedAt);

    /// <summary>From here on the worker says now and then that it lives, and watches whether the server does.</summary>
    internal void StartToWatch() => _timer = new Timer(static connection => ((RemoteConnection)connection!).Tick(), this, ParameterTranscript.AliveInterval, ParameterTranscript.AliveInterval);

    /// <summary>Ends it now, from any thread: pending reads and writes fail.</summary>
    internal void Abort(string reason)
    {
        _aborted ??= reason;
        _socket.Dispose();
    }

    /// <summary>Sends a call and takes in its answer.</summary>
    /// <exception cref="ParameterConnectionException">The connection broke, or the server asks to come again.</exception>
    internal async ValueTask<RemoteAnswer> ExchangeAsync(RemoteCall call, uint request, string server)
    {
        try
        {
            Pulse.Beat();
            _isOwed = true;
            await SendAsync(call, request).ConfigureAwait(false);
            while (true)
            {
                FrameHead head = await Reader.ReadHeadAsync(Pulse).ConfigureAwait(false);
                if (head.Kind == FrameKind.Alive && head.BodyByteCount == 0) continue;
                if (head.Kind == FrameKind.Failure) throw await ReadFailureAsync(head, server).ConfigureAwait(false);
                if (head.Request != request) throw new ParameterProtocolException($"an answer to request {head.Request}, asked was {request}");
                head.Expect(call.Answer, call.AnswerByteCount);
                return await ReadAnswerAsync(call).ConfigureAwait(false);
            }
        }
        catch (Exception failure) when (IsBreak(failure))
        {
            throw Broken(failure);
        }
        finally
        {
            _isOwed = false;
        }
    }

    /// <summary>Reads a failure's body.</summary>
    internal async ValueTask<Exception> ReadFailureAsync(FrameHead head, string server)
    {
        if (head.BodyByteCount > FailureMessage.MaxByteCount) throw new ParameterProtocolException($"a failure of {head.BodyByteCount:N0} bytes");
        byte[] body = new byte[head.BodyByteCount];
        await Reader.ReadBytesAsync(body, Pulse).ConfigureAwait(false);
        return FailureMessage.Read(body, server);
    }

    /// <summary>Whether an exception says that the connection is of no more use, rather than what a call came to.</summary>
    internal static bool IsBreak(Exception failure) => failure is IOException or SocketException or ObjectDisposedException or ParameterConnectionException or ParameterProtocolException;

    internal ParameterConnectionException Broken(Exception failure) => new(_aborted ?? failure.Message, failure);

    public void Dispose()
    {
        _timer?.Dispose();
        _aborted ??= "the session was closed";
        _socket.Dispose();
        _stream.Dispose();
    }

    private async ValueTask SendAsync(RemoteCall call, uint request)
    {
        await _writing.WaitAsync().ConfigureAwait(false);
        try
        {
            int count = call.WriteNumbers(_small);
            Writer.WriteFrame(call.Kind, request, _small.AsSpan(0, count), (long)call.Sent.Length * sizeof(float));
            if (call.Sent.IsEmpty) await Writer.SendAsync(Pulse).ConfigureAwait(false);
            else await Writer.WriteFloatsAsync(call.Sent, Pulse).ConfigureAwait(false);
        }
        finally
        {
            _writing.Release();
        }
    }

    private async ValueTask<RemoteAnswer> ReadAnswerAsync(RemoteCall call)
    {
        int count = call.Kind == FrameKind.Pull ? RemoteCall.NumberByteCount : (int)call.AnswerByteCount;
        await Reader.ReadBytesAsync(_small.AsMemory(0, count), Pulse).ConfigureAwait(false);
        if (call.Kind == FrameKind.Pull) await Reader.ReadFloatsAsync(call.Received, Pulse).ConfigureAwait(false);
        switch (call.Kind)
        {
            case FrameKind.Initialize:
                return new RemoteAnswer(_small[0]);
            case FrameKind.ReadStatistics:
                return new RemoteAnswer(Statistics: StatisticsMessage.Read(_small));
            case FrameKind.Push:
                PushOutcome outcome = (PushOutcome)_small[0];
                if (!Enum.IsDefined(outcome)) throw new ParameterProtocolException($"a push with outcome {_small[0]}");
                return new RemoteAnswer(Push: new PushResult(outcome, BinaryPrimitives.ReadInt64LittleEndian(_small.AsSpan(1)), BinaryPrimitives.ReadInt64LittleEndian(_small.AsSpan(9))));
            default:
                return new RemoteAnswer(BinaryPrimitives.ReadInt64LittleEndian(_small));
        }
    }

    private void Tick()
    {
        if (_isOwed && Pulse.Silence > _silenceTimeout)
        {
            Abort($"the server was silent for {_silenceTimeout.TotalSeconds:0.#} s");
            return;
        }
        // Whoever is sending shows that it lives.
        if (_writing.Wait(0)) _ = SayAliveAsync();
    }

    private async Task SayAliveAsync()
    {
        try
        {
            Writer.WriteFrame(FrameKind.Alive, 0, []);
            await Writer.FlushAsync().ConfigureAwait(false);
        }
        catch (Exception failure) when (IsBreak(failure) || failure is InvalidOperationException)
        {
            // The next exchange finds out, and says why.
        }
        finally
        {
            _writing.Release();
        }
    }
}
