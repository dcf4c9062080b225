using System.Net;
using System.Net.Sockets;

namespace DistTrain.Collectives;

/// <summary>Gets a connection to a server that may not be there yet: tries all of its addresses, with longer and longer pauses between, until the deadline.</summary>
internal sealed class TcpStoreDialer(string host, int port, string description, TcpStoreGreeting greeting, TimeSpan tryTimeout)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(10), LongestPause = TimeSpan.FromSeconds(1);

    internal TcpStoreWelcome Dial(Deadline deadline)
    {
        var pause = new PollPause(FirstPause, LongestPause);
        string last = "no try was made";
        Exception? cause = null;
        for (int tries = 0; ; tries++)
        {
            deadline.CancellationToken.ThrowIfCancellationRequested();
            if (tries > 0 && deadline.IsOver)
            {
                throw new RendezvousTimeoutException(
                    $"{description}: no connection to host '{host}' port {port} within {deadline.Timeout.TotalSeconds:0.###} s, {tries} {(tries == 1 ? "try" : "tries")}; last: {last}", cause);
            }
            if (Try(deadline, ref last, ref cause) is { } welcome) return welcome;
            pause.Wait(deadline.Left, deadline.CancellationToken);
        }
    }

    private TcpStoreWelcome? Try(Deadline deadline, ref string last, ref Exception? cause)
    {
        try
        {
            foreach (IPAddress address in FindAddresses(deadline))
            {
                var endPoint = new IPEndPoint(address, port);
                try
                {
                    return greeting.Connect(endPoint, deadline.Within(tryTimeout));
                }
                catch (SocketException failure)
                {
                    (last, cause) = ($"{endPoint}: {failure.Message} ({failure.SocketErrorCode})", failure);
                }
            }
        }
        catch (SocketException failure)
        {
            (last, cause) = ($"looking up the host: {failure.Message} ({failure.SocketErrorCode})", failure);
        }
        catch (RendezvousRefusedException failure) when (failure.Reason is RendezvousRefusal.Full or RendezvousRefusal.TooSlow)
        {
            (last, cause) = (failure.Message, failure);
        }
        return null;
    }

    /// <summary>The system's lookup can't be told to stop: it has a thread of its own, which ends when the system gives up.</summary>
    private IPAddress[] FindAddresses(Deadline deadline)
    {
        if (IPAddress.TryParse(host, out IPAddress? literal)) return [literal];
        IPAddress[]? found = null;
        SocketException? failure = null;
        var lookup = new Thread(() =>
        {
            try
            {
                found = Dns.GetHostAddresses(host);
            }
            catch (SocketException thrown)
            {
                failure = thrown;
            }
        }) { IsBackground = true, Name = "rendezvous lookup" };
        lookup.Start();
        while (!lookup.Join(TimeSpan.FromMilliseconds(20)))
        {
            deadline.CancellationToken.ThrowIfCancellationRequested();
            if (deadline.IsOver) throw new SocketException((int)SocketError.TimedOut);
        }
        if (failure is not null) throw failure;
        return found is { Length: > 0 } ? found : throw new SocketException((int)SocketError.HostNotFound);
    }
}
