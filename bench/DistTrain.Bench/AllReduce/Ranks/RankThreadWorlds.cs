using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>Communicators between threads of this process: whoever asks first makes one for all.</summary>
public sealed class RankThreadWorlds(int ranks)
{
    private readonly Dictionary<string, IReadOnlyList<ICommunicator>> _made = [];

    /// <summary>The rank's communicator of a name.</summary>
    public ICommunicator Join(int rank, string name, CommunicatorOptions options)
    {
        lock (_made)
        {
            if (!_made.TryGetValue(name, out IReadOnlyList<ICommunicator>? all)) _made[name] = all = Communicator.InProcess(ranks, options);
            return all[rank];
        }
    }
}
