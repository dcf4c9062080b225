using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using DistTrain.Collectives;

namespace DistTrain.Cli;

/// <summary>A job on several nodes, of which this is one: the first hosts the store at the master's address and port, all run a <see cref="NodeAgent"/>.</summary>
internal static class NodesLaunch
{
    private const string LeftKey = "launch/left";
    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromSeconds(10), PollInterval = TimeSpan.FromMilliseconds(50);

    public static int Run(LaunchOptions options, JobSecret secret, LaunchSignals signals, LineSink errors, Func<RankPlacement, Func<bool>, GroupResult> runGroup)
    {
        bool isHost = options.NodeRank is int rank ? rank == 0 : IsThisHost(options.MasterAddress);
        using TcpStoreServer? server = isHost ? new TcpStoreServer(options.RunId, secret, new TcpStoreServerOptions { Port = options.MasterPort }) : null;
        using TcpStoreClient? found = Connect(options, isHost, secret, signals.Stopping);
        if (found is not { } store) return 128 + signals.StopSignal;
        string host = Environment.MachineName.Length > 40 ? Environment.MachineName[..40] : Environment.MachineName;
        MembershipNode node = new($"{host}/{Environment.ProcessId}", options.ProcessesPerNode, isHost ? options.MasterAddress : OwnAddress(options));
        using ElasticMembership membership = new(store, "nodes", node, new ElasticMembershipOptions { MinNodeCount = options.MinNodes, MaxNodeCount = options.MaxNodes });
        store.Add(LeftKey, 1);
        try
        {
            return new NodeAgent(options, secret, store, membership, runGroup, new NodeStop(() => signals.StopSignal, () => signals.WasWarned, signals.Stopping), errors.Say).Run();
        }
        finally
        {
            Part(store, server is not null);
        }
    }

    /// <returns>Null if a signal ended the wait for the host.</returns>
    private static TcpStoreClient? Connect(LaunchOptions options, bool isHost, JobSecret secret, CancellationToken stopping)
    {
        try
        {
            return TcpStoreClient.Connect(isHost ? "127.0.0.1" : options.MasterAddress, options.MasterPort, options.RunId, secret, cancellationToken: stopping);
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }

    /// <summary>The host goes last: others still want to read how it ended. Who was killed never says that it went, so not for ever.</summary>
    private static void Part(TcpStoreClient store, bool isHost)
    {
        try
        {
            long left = store.Add(LeftKey, -1);
            long began = Stopwatch.GetTimestamp();
            while (isHost && left > 0 && Stopwatch.GetElapsedTime(began) < LeaveTimeout)
            {
                Thread.Sleep(PollInterval);
                left = store.Add(LeftKey, 0);
            }
        }
        catch (RendezvousException)
        {
            // The store went before; what that means was said by who needed it.
        }
    }

    private static bool IsThisHost(string address)
    {
        try
        {
            IPAddress[] own = [.. Dns.GetHostAddresses(Dns.GetHostName()), IPAddress.Loopback, IPAddress.IPv6Loopback];
            return Dns.GetHostAddresses(address).Any(candidate => own.Contains(candidate));
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>The address that this node's packets to the master come from. Nothing is sent to find it.</summary>
    private static string OwnAddress(LaunchOptions options)
    {
        try
        {
            using var socket = new Socket(SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(options.MasterAddress, options.MasterPort);
            IPAddress address = ((IPEndPoint)socket.LocalEndPoint!).Address;
            return (address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address).ToString();
        }
        catch (SocketException)
        {
            return Environment.MachineName;
        }
    }
}
