using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// One rank's part of a run. All ranks go through the same sizes, contenders and rounds in the same order, so that nobody needs to be told; rank 0 also asks the peers, prints and keeps rows.
/// </summary>
public sealed class CollectiveSession(RankWorld world, AllReduceOptions options, IReadOnlyList<string> peerNames, IReadOnlyList<PeerProcess> peers)
{
    private const int MostCalls = 100;

    // Worker threads of whoever was last, and engines, spin for a moment before they sleep.
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(2);

    private readonly bool _isCrowded = world.WorldSize > RankThread.MachineCoreCount;

    /// <summary>Measures everything, size by size.</summary>
    /// <param name="done">Called with the contenders of each size.</param>
    public void Run(Action<long, IReadOnlyList<Contender>> done)
    {
        ArgumentNullException.ThrowIfNull(done);
        // A single round is a rehearsal: its times mean nothing, compiled or not.
        if (options.RoundCount > 1) Settle();
        foreach (long bytes in options.Sizes.Select(size => options.Shape.RoundedBytes(size, world.WorldSize)).Distinct())
        {
            List<Contender> contenders = Contenders(bytes);
            try
            {
                foreach (CollectiveContender own in contenders.OfType<CollectiveContender>()) own.Check();
                for (int round = -1; round < options.RoundCount; round++) TakeRound(contenders, bytes, round);
                done(bytes, contenders);
            }
            finally
            {
                // Registered memory is given back in one order on all ranks.
                foreach (Contender contender in contenders) contender.Dispose();
            }
        }
    }

    private static int Calls(long bytes) => bytes <= 64 << 10 ? MostCalls : bytes <= 1 << 20 ? 20 : bytes <= 8 << 20 ? 5 : 1;

    private static int WarmCalls(long bytes) => bytes <= 1 << 20 ? 2 : 1;

    // Each round begins with another, so that nobody always follows the same one; the first round does not count.
    private void TakeRound(List<Contender> contenders, long bytes, int round)
    {
        for (int i = 0; i < contenders.Count; i++)
        {
            Contender contender = contenders[(i + round + 1) % contenders.Count];
            if (contender is PeerContender && world.Rank == 0) Thread.Sleep(s_pause);
            double? seconds = contender.Take(Calls(bytes), WarmCalls(bytes));
            if (round >= 0 && seconds is { } taken) contender.Seconds.Add(taken);
        }
    }

    private List<Contender> Contenders(long bytes)
    {
        List<Contender> contenders = [];
        foreach (string memory in options.Memories)
            foreach (string algorithm in options.Algorithms)
                contenders.Add(new CollectiveContender(world, algorithm, options.Shape, bytes, memory, _isCrowded, MostCalls) { Transport = world.Transport });
        if (options.FitFile is null && BoundContender.Applies(world, options.Shape, bytes)) contenders.Add(new BoundContender(world, bytes, MostCalls) { Transport = world.Transport });
        foreach (string name in peerNames)
            contenders.Add(new PeerContender(name, peers.FirstOrDefault(peer => peer.Name == name), options.Shape, bytes, Console.Error) { Transport = CollectivePeers.TransportOf(name) });
        return contenders;
    }

    private void Settle()
    {
        const long Bytes = 4096;
        foreach (string algorithm in options.Algorithms)
        {
            using CollectiveContender contender = new(world, algorithm, options.Shape, options.Shape.RoundedBytes(Bytes, world.WorldSize), options.Memories[0], _isCrowded, MostCalls) { Transport = null };
            contender.Settle();
        }
    }
}
