using DistTrain.Kernels;
using DistTrain.Runtime;

namespace DistTrain.Bench;

/// <summary>Everyone's pace, turn by turn.</summary>
/// <param name="Trainee">Who.</param>
/// <param name="Paces">One a round.</param>
public sealed record SpeedResult(Trainee Trainee, IReadOnlyList<Pace> Paces)
{
    /// <summary>The median of something over the rounds.</summary>
    public double Median(Func<Pace, double> of) => Statistic.Median(Paces.Select(of));

    /// <summary>The median of the ratios of speeds within each round.</summary>
    public double Relative(SpeedResult other) => Statistic.MedianRatio(Paces.Select(pace => pace.SamplesPerSecond), other.Paces.Select(pace => pace.SamplesPerSecond));
}

/// <summary>Strategies on slices of the CPU, independent runs on the same slices, and peers, measured in turn: what else the machine does meets all alike.</summary>
public sealed class SpeedContest(StrategyOptions options, CommunicationMeter meter, TextWriter log) : IDisposable
{
    private readonly List<Trainee> _trainees = [];

    /// <summary>By the name that <c>--strategy</c> has: those that train on several devices of one process.</summary>
    private static readonly (string Name, Func<ComputeDevice[], Strategy> Open)[] s_strategies =
    [
        ("mirrored", devices => new MirroredStrategy(devices, ownsDevices: true)),
        ("central-storage", devices => new CentralStorageStrategy(devices, ownsDevices: true)),
        ("sharded", devices => new ShardedStrategy(devices, ownsDevices: true)),
        ("parameter-server", devices => new ParameterServerStrategy(devices, ownsDevices: true)),
    ];

    /// <summary>Measures everyone with so many replicas. Independent runs come first.</summary>
    public IReadOnlyList<SpeedResult> Run(int ranks)
    {
        Open(ranks);
        return Measure();
    }

    /// <summary>Measures the peers beside two one-core replicas with as many samples a step; empty without peers.</summary>
    public IReadOnlyList<SpeedResult> RunAgainstPeers(int cores)
    {
        string[] names = [.. options.Against ?? (PeerCatalog.Installed("cpu").Contains("torchsharp") ? ["torchsharp"] : [])];
        foreach (string name in names)
        {
            if (PeerCatalog.Start(name, "cpu", cores, out string? reason) is { } peer) _trainees.Add(new PeerTrainee(peer, options.Model, cores * options.Batch, cores));
            else log.WriteLine($"bench: without {name}: {reason}");
        }
        if (_trainees.Count == 0) return [];
        _trainees.Insert(0, new LocalTrainee(s_strategies[0].Open(Slices(cores)), s_strategies[0].Name, options.Model, options.Batch, meter));
        return Measure();
    }

    /// <summary>Measures a batch cut into virtual shards beside the same batch in as many micro-batches, on two replicas.</summary>
    /// <param name="model">By its name in the catalogue.</param>
    /// <param name="shardCount">Of all replicas together.</param>
    /// <param name="samples">Of a shard.</param>
    public IReadOnlyList<SpeedResult> RunShards(string model, int shardCount, int samples)
    {
        const int Replicas = 2;
        int passes = shardCount / Replicas;
        _trainees.Add(new LocalTrainee(s_strategies[0].Open(Slices(Replicas)), "accumulation", model, passes * samples, meter, passes));
        _trainees.Add(new LocalTrainee(s_strategies[0].Open(Slices(Replicas)), "virtual-shards", model, passes * samples, meter, passes, new VariableOptions { VirtualShardCount = shardCount }));
        return Measure();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Trainee trainee in _trainees) trainee.Dispose();
        _trainees.Clear();
    }

    private void Open(int ranks)
    {
        if (ranks == 1)
        {
            // One core, as each of several replicas has, and all of them.
            int cores = Environment.ProcessorCount;
            _trainees.Add(new LocalTrainee(new OneDeviceStrategy(DeviceCatalog.Open($"cpu:0/{cores}"), ownsDevice: true), "one-device", options.Model, options.Batch, meter));
            if (cores > 1) _trainees.Add(new LocalTrainee(new OneDeviceStrategy(DeviceCatalog.Open("cpu"), ownsDevice: true), $"one-device, {cores} cores", options.Model, options.Batch, meter));
            return;
        }
        foreach (bool waits in (bool[])[false, true])
            _trainees.Add(LocalTrainee.Independent([.. Slices(ranks).Select(device => new OneDeviceStrategy(device, ownsDevice: true))], options.Model, options.Batch, meter, waits));
        foreach ((string name, Func<ComputeDevice[], Strategy> open) in s_strategies) _trainees.Add(new LocalTrainee(open(Slices(ranks)), name, options.Model, options.Batch, meter));
        _trainees.Add(WorkerTrainee.Start(ranks, options.Model, options.Batch));
    }

    private List<SpeedResult> Measure()
    {
        List<SpeedResult> results = [];
        List<Pace>[] paces = [.. _trainees.Select(_ => new List<Pace>())];
        for (int round = 0; round < options.Rounds; round++)
            for (int i = 0; i < _trainees.Count; i++)
            {
                // Each round begins with another, so that nobody always follows the same one.
                int turn = (i + round) % _trainees.Count;
                paces[turn].Add(_trainees[turn].Measure(options.Milliseconds));
            }
        for (int i = 0; i < _trainees.Count; i++) results.Add(new SpeedResult(_trainees[i], paces[i]));
        return results;
    }

    private static ComputeDevice[] Slices(int count) => [.. Enumerable.Range(0, count).Select(i => DeviceCatalog.Open($"cpu:{i}/{count}"))];
}
