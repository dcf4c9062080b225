using System.Globalization;
using DistTrain.Collectives;

/// <summary>A rank that meets the others over a store: <c>tcp PORT</c> or <c>file FOLDER</c>.</summary>
internal static class Meeting
{
    internal static int Run(int rank, int worldSize, string place, JobSecret secret, TimeSpan timeout)
    {
        string[] parts = place.Split(' ', 2);
        using IRendezvousStore store = parts[0] == "tcp"
            ? TcpStoreClient.Connect("127.0.0.1", int.Parse(parts[1], CultureInfo.InvariantCulture), "ranks", secret)
            : new FileStore(parts[1], "run", secret);
        try
        {
            for (int round = 0; ; round++)
            {
                byte[][] all = store.ExchangeAll("ids", rank, worldSize, BitConverter.GetBytes((rank * 1000) + round), timeout);
                for (int other = 0; other < worldSize; other++)
                    if (BitConverter.ToInt32(all[other]) != (other * 1000) + round) throw new InvalidOperationException($"round {round}: rank {other} gave {BitConverter.ToInt32(all[other])}");
                store.Add($"count{rank}", 1);
                if (round == 0) Console.WriteLine("ready");
            }
        }
        catch (RendezvousTimeoutException failure)
        {
            Console.WriteLine($"missing {string.Join(' ', failure.MissingRanks)}");
            return 75;
        }
    }
}
