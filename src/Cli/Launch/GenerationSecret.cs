using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using DistTrain.Collectives;

namespace DistTrain.Cli;

/// <summary>What is new at each start of a group, so that nobody who is left from the start before can meet its processes.</summary>
internal static class GenerationSecret
{
    /// <summary>A secret for one start, which follows from the job's and does not give it away: HMAC-SHA256.</summary>
    public static string Derive(JobSecret job, long generation) =>
        Convert.ToHexStringLower(HMACSHA256.HashData(Convert.FromHexString(job.ToHex()), Encoding.ASCII.GetBytes($"disttrain generation {generation}")));

    /// <summary>A name of an abstract socket that nobody else has or can guess.</summary>
    public static string Rendezvous(long generation) => $"@disttrain-{Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(12))}-{generation}";

    /// <summary>A port that is free now.</summary>
    public static int FreePort() => FreePorts(1)[0];

    /// <summary>Different ports that are free now: one that was let go may be given again.</summary>
    public static int[] FreePorts(int count)
    {
        var sockets = new List<Socket>();
        try
        {
            for (int i = 0; i < count; i++)
            {
                sockets.Add(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
                sockets[i].Bind(new IPEndPoint(IPAddress.Any, 0));
            }
            return [.. sockets.Select(socket => ((IPEndPoint)socket.LocalEndPoint!).Port)];
        }
        finally
        {
            foreach (Socket socket in sockets) socket.Dispose();
        }
    }
}
