using System.Buffers.Binary;
using System.IO.Pipelines;
using DistTrain.Runtime;
using Microsoft.AspNetCore.Connections;

namespace DistTrain.ParameterServer;

/// <summary>The calls of an open session: read, done on the store's thread, answered. While one waits, both sides say that they live.</summary>
internal sealed class WorkerCalls(ConnectionContext connection, ServedStore store, OpenMessage open, ParameterSession session, ConnectionPulse pulse) : IAsyncDisposable
{
    // Calls that last no longer are waited for without looking at the connection.
    private static readonly TimeSpan s_glance = TimeSpan.FromMilliseconds(200);

    private readonly byte[] _small = new byte[RemoteCall.PushByteCount];
    private ParameterSession _session = session;

    private PipeReader Reader => connection.Transport.Input;

    private PipeWriter Writer => connection.Transport.Output;

    private long VectorByteCount => open.Layout.ElementCount * sizeof(float);

    internal async Task ServeAsync()
    {
        while (true)
        {
            FrameHead head = await Reader.ReadHeadAsync(pulse).ConfigureAwait(false);
            if (head.Kind == FrameKind.Alive)
            {
                head.Expect(FrameKind.Alive, 0);
                continue;
            }
            try
            {
                await ServeAsync(head).ConfigureAwait(false);
            }
            catch (Exception failure) when (failure is not ParameterProtocolException && !WorkerConnection.IsEnd(failure) && !connection.ConnectionClosed.IsCancellationRequested)
            {
                Writer.WriteFrame(FrameKind.Failure, head.Request, FailureMessage.Write(failure).Written);
                await Writer.SendAsync(pulse).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Has the worker leave.</summary>
    public async ValueTask DisposeAsync() => await store.LeaveAsync(_session).ConfigureAwait(false);

    private async Task ServeAsync(FrameHead head)
    {
        switch (head.Kind)
        {
            case FrameKind.Initialize:
                await InitializeAsync(head).ConfigureAwait(false);
                break;
            case FrameKind.TakeStep:
                long stepCount = await ReadNumberAsync(head).ConfigureAwait(false);
                await AnswerAsync(head, FrameKind.Step, new WireWriter().Int64(await CallAsync((own, ended) => own.TakeStepAsync(stepCount, ended)).ConfigureAwait(false))).ConfigureAwait(false);
                break;
            case FrameKind.Pull:
                await PullAsync(head).ConfigureAwait(false);
                break;
            case FrameKind.Push:
                await PushAsync(head).ConfigureAwait(false);
                break;
            case FrameKind.ReadStatistics:
                head.Expect(FrameKind.ReadStatistics, 0);
                await AnswerAsync(head, FrameKind.Statistics, StatisticsMessage.Write(await CallAsync((own, ended) => own.ReadStatisticsAsync(ended)).ConfigureAwait(false))).ConfigureAwait(false);
                break;
            default:
                throw new ParameterProtocolException($"a frame '{head.Kind}' in an open session");
        }
    }

    private async Task InitializeAsync(FrameHead head)
    {
        head.Expect(FrameKind.Initialize, VectorByteCount);
        using VectorPool.Lease vector = store.Vectors.Rent(open.Layout.ElementCount);
        await Reader.ReadFloatsAsync(vector.Memory, pulse).ConfigureAwait(false);
        bool isTaken = await CallAsync((own, ended) => own.InitializeAsync(vector.Memory, ended)).ConfigureAwait(false);
        await AnswerAsync(head, FrameKind.Initialized, new WireWriter().Byte(isTaken ? (byte)1 : (byte)0)).ConfigureAwait(false);
    }

    private async Task PullAsync(FrameHead head)
    {
        long newerThan = await ReadNumberAsync(head).ConfigureAwait(false);
        using VectorPool.Lease vector = store.Vectors.Rent(open.Layout.ElementCount);
        long version = await CallAsync((own, ended) => own.PullAsync(vector.Memory, newerThan, ended)).ConfigureAwait(false);
        BinaryPrimitives.WriteInt64LittleEndian(_small, version);
        Writer.WriteFrame(FrameKind.Values, head.Request, _small.AsSpan(0, RemoteCall.NumberByteCount), VectorByteCount);
        if (VectorByteCount == 0) await Writer.SendAsync(pulse).ConfigureAwait(false);
        else await Writer.WriteFloatsAsync(vector.Memory, pulse).ConfigureAwait(false);
    }

    private async Task PushAsync(FrameHead head)
    {
        head.Expect(FrameKind.Push, RemoteCall.PushByteCount + VectorByteCount);
        await Reader.ReadBytesAsync(_small.AsMemory(0, RemoteCall.PushByteCount), pulse).ConfigureAwait(false);
        using VectorPool.Lease vector = store.Vectors.Rent(open.Layout.ElementCount);
        long number = BinaryPrimitives.ReadInt64LittleEndian(_small);
        GradientPush push = new(BinaryPrimitives.ReadInt64LittleEndian(_small.AsSpan(8)), BinaryPrimitives.ReadInt64LittleEndian(_small.AsSpan(16)), BinaryPrimitives.ReadSingleLittleEndian(_small.AsSpan(24)), vector.Memory);
        await Reader.ReadFloatsAsync(vector.Memory, pulse).ConfigureAwait(false);
        PushResult result = await CallAsync((own, _) => store.Push(own, open, number, push)).ConfigureAwait(false);
        await AnswerAsync(head, FrameKind.Pushed, new WireWriter().Byte((byte)result.Outcome).Int64(result.Version).Int64(result.Staleness)).ConfigureAwait(false);
    }

    private async ValueTask<long> ReadNumberAsync(FrameHead head)
    {
        head.Expect(head.Kind, RemoteCall.NumberByteCount);
        await Reader.ReadBytesAsync(_small.AsMemory(0, RemoteCall.NumberByteCount), pulse).ConfigureAwait(false);
        return BinaryPrimitives.ReadInt64LittleEndian(_small);
    }

    private async Task AnswerAsync(FrameHead head, FrameKind kind, WireWriter body)
    {
        Writer.WriteFrame(kind, head.Request, body.Written);
        await Writer.SendAsync(pulse).ConfigureAwait(false);
    }

    /// <summary>Calls the store; ended when this returns, whatever happened. A session that was given up for silence, and is heard of again, is opened anew.</summary>
    private async Task<T> CallAsync<T>(Func<ParameterSession, CancellationToken, ValueTask<T>> call)
    {
        try
        {
            return await AttendAsync(call).ConfigureAwait(false);
        }
        catch (ParameterServerException) when (_session.WasGivenUp)
        {
            (_session, _) = await store.OpenAsync(open).ConfigureAwait(false);
            return await AttendAsync(call).ConfigureAwait(false);
        }
    }

    private async Task<T> AttendAsync<T>(Func<ParameterSession, CancellationToken, ValueTask<T>> call)
    {
        using CancellationTokenSource ended = CancellationTokenSource.CreateLinkedTokenSource(connection.ConnectionClosed);
        Task<T> pending = store.RunAsync(() => call(_session, ended.Token));
        await ((Task)pending.WaitAsync(s_glance)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        try
        {
            while (!pending.IsCompleted) await WatchAsync(pending).ConfigureAwait(false);
        }
        catch
        {
            // Nobody else may use the call's vector before it has ended.
            await ended.CancelAsync().ConfigureAwait(false);
            await ((Task)pending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw;
        }
        return await pending.ConfigureAwait(false);
    }

    // Until the call ends or it is time to say that we live: looks whether the worker does.
    private async Task WatchAsync(Task pending)
    {
        Task<ReadResult> reading = Reader.ReadAsync().AsTask();
        Task first = await Task.WhenAny(pending, reading, Task.Delay(ParameterTranscript.AliveInterval)).ConfigureAwait(false);
        if (first != reading) Reader.CancelPendingRead();
        ReadResult result = await reading.ConfigureAwait(false);
        if (result.IsCanceled || pending.IsCompleted) Reader.AdvanceTo(result.Buffer.Start);
        else if (FramePipes.TryReadHead(Reader, result, pulse, out FrameHead head)) head.Expect(FrameKind.Alive, 0);
        if (first == pending || pending.IsCompleted) return;
        Writer.WriteFrame(FrameKind.Alive, 0, []);
        await Writer.SendAsync(pulse).ConfigureAwait(false);
    }
}
