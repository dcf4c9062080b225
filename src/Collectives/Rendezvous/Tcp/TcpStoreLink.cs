using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace DistTrain.Collectives;

/// <summary>A request under way: who waits for its answer, and what came.</summary>
#pragma warning disable CA1001 // The event needs disposal only where its wait handle is asked for, which nobody does.
internal sealed class TcpStorePending
#pragma warning restore CA1001
{
    private readonly ManualResetEventSlim _ended = new();

    /// <summary>The answer; null as long as there is none, and for ever if the connection was lost before.</summary>
    internal (StoreStatus Status, byte[] Body)? Answer { get; private set; }

    internal void End((StoreStatus Status, byte[] Body)? answer)
    {
        Answer = answer;
        _ended.Set();
    }

    /// <returns>Whether it ended.</returns>
    internal bool Wait(TimeSpan timeout, CancellationToken cancellationToken) => _ended.Wait(timeout, cancellationToken);
}

/// <summary>A greeted connection as its client sees it: many threads send, one of its own reads the answers and hands them out. Once it fails it stays so. Thread-safe.</summary>
internal sealed class TcpStoreLink : IDisposable
{
    private readonly TcpStoreWelcome _welcome;
    private readonly Thread _reader;
    private readonly Lock _sending = new();
    private readonly Dictionary<ulong, TcpStorePending> _pending = [];
    private bool _isLost;

    internal TcpStoreLink(TcpStoreWelcome welcome, TimeSpan sendTimeout)
    {
        _welcome = welcome;
        welcome.Socket.Blocking = true;
        welcome.Socket.SendTimeout = (int)sendTimeout.TotalMilliseconds;
        _reader = new Thread(ReadAll, maxStackSize: 256 * 1024) { IsBackground = true, Name = $"client {((IPEndPoint)welcome.Socket.RemoteEndPoint!).Port}" };
        _reader.Start();
    }

    internal bool IsLost
    {
        get
        {
            lock (_pending) return _isLost;
        }
    }

    /// <summary>Sends a request.</summary>
    /// <returns>What ends with its answer, or without if the connection is lost before.</returns>
    internal TcpStorePending Begin(ulong number, byte[] payload)
    {
        var pending = new TcpStorePending();
        lock (_pending)
        {
            if (_isLost) pending.End(null);
            else _pending.Add(number, pending);
        }
        Send(payload);
        return pending;
    }

    /// <summary>Sends what has no answer of its own.</summary>
    internal void Send(byte[] payload)
    {
        try
        {
            lock (_sending)
            {
                // A frame closed and not sent would make the next one's number wrong: both under one lock.
                ReadOnlySpan<byte> frame = _welcome.Sent.Close(payload);
                while (!frame.IsEmpty) frame = frame[_welcome.Socket.Send(frame, SocketFlags.None)..];
            }
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            Lose();
        }
    }

    /// <summary>Nobody waits for an answer any more.</summary>
    internal void Forget(ulong number)
    {
        lock (_pending) _pending.Remove(number);
    }

    /// <summary>Ends the connection, and all that wait without an answer.</summary>
    internal void Lose()
    {
        TcpStorePending[] waiting;
        lock (_pending)
        {
            if (_isLost) return;
            _isLost = true;
            waiting = [.. _pending.Values];
            _pending.Clear();
        }
        try
        {
            _welcome.Socket.Shutdown(SocketShutdown.Both);
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            // It is gone already.
        }
        foreach (TcpStorePending pending in waiting) pending.End(null);
    }

    /// <summary>Ends the connection and its thread.</summary>
    public void Dispose()
    {
        Lose();
        _welcome.Socket.Dispose();
        _reader.Join();
        lock (_sending) _welcome.Sent.Dispose();
        _welcome.Received.Dispose();
    }

    private void ReadAll()
    {
        try
        {
            while (Read())
            {
            }
        }
        catch (Exception failure) when (failure is SocketException or ObjectDisposedException)
        {
            // The connection is lost, which is all that those who wait need to know.
        }
        Lose();
    }

    private bool Read()
    {
        byte[] head = new byte[FrameSeal.LengthByteCount];
        if (!Fill(head)) return false;
        int length = BinaryPrimitives.ReadInt32LittleEndian(head);
        if (length is < sizeof(ulong) + 1 or > TcpStoreProtocol.MaxPayloadByteCount) return false;
        byte[] frame = new byte[length + FrameSeal.CodeByteCount];
        if (!Fill(frame) || !_welcome.Received.Check(frame.AsSpan(0, length), frame.AsSpan(length))) return false;
        ulong number = BinaryPrimitives.ReadUInt64LittleEndian(frame);
        TcpStorePending? pending;
        lock (_pending) _pending.Remove(number, out pending);
        pending?.End(((StoreStatus)frame[8], frame[9..length]));
        return true;
    }

    private bool Fill(Span<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = _welcome.Socket.Receive(bytes, SocketFlags.None);
            if (count == 0) return false;
            bytes = bytes[count..];
        }
        return true;
    }
}
