using System.Net.Sockets;

namespace DistTrain.Collectives;

/// <summary>Has the system find out that the other machine is gone where no byte is on its way: after about half a minute.</summary>
internal static class TcpKeepAlive
{
    private const int IdleSeconds = 15, IntervalSeconds = 5, ProbeCount = 3;

    internal static void Set(Socket socket)
    {
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, IdleSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, IntervalSeconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, ProbeCount);
    }
}
