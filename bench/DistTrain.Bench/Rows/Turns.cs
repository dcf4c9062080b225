using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>The name and the seconds a call, round by round, of one implementation of a case.</summary>
public sealed record Timing(string Implementation, IReadOnlyList<double> Seconds)
{
    /// <summary>Operations, bytes or samples of one call; the case's own, except where a limit does other work than the case.</summary>
    public required double Work { get; init; }
}

/// <summary>
/// Measures implementations of one case in turn, A B C A B C ..., so that what else the machine does meets them all alike; ratios are then taken
/// within a round.
/// </summary>
public sealed class Turns : IDisposable
{
    /// <summary>The name of our own rows.</summary>
    public const string Ours = "disttrain";

    /// <summary>The name of physical limits.</summary>
    public const string Bound = "bound";

    // Worker threads of whoever was last spin for a moment before they sleep.
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(10);

    private readonly List<Turn> _turns = [];
    private readonly List<Workload> _workloads = [];
    private readonly int _milliseconds;
    private readonly TextWriter _log;

    /// <summary>Makes our workload and asks the peers for theirs; a peer that has none of the kind drops out.</summary>
    public Turns(BenchCase benchCase, ComputeDevice device, IEnumerable<PeerProcess> peers, int milliseconds, TextWriter log)
    {
        ArgumentNullException.ThrowIfNull(benchCase);
        ArgumentNullException.ThrowIfNull(peers);
        _milliseconds = milliseconds;
        _log = log;
        Add(benchCase.IsLimit ? Bound : Ours, benchCase.Work, benchCase.Open(device));
        foreach (PeerProcess peer in benchCase.IsLimit ? [] : peers)
            _turns.Add(new Turn(peer.Name, benchCase.Work, duration => Ask(peer, benchCase, duration)));
        if (benchCase.Limit == Limit.Arithmetic && device is CpuDevice cpu)
        {
            Add(Bound, benchCase.Work, new FmaPeakWorkload(cpu));
        }
        else if (benchCase.Limit == Limit.Copy)
        {
            Add(Bound, benchCase.Work, new CopyWorkload(device, benchCase.Work));
        }
        if (benchCase.OwnLimit is { } limit) Add(Bound, benchCase.Work, limit(device));
    }

    /// <summary>Takes <paramref name="roundCount"/> rounds.</summary>
    public IReadOnlyList<Timing> Take(int roundCount)
    {
        foreach (Workload workload in _workloads) TimedBatch.Settle(workload, Math.Min(0.3, _milliseconds * 1e-3));
        for (int round = 0; round < roundCount; round++)
        {
            for (int i = 0; i < _turns.Count; i++)
            {
                Thread.Sleep(s_pause);
                // Each round begins with another, so that nobody always follows the same one.
                Turn turn = _turns[(i + round) % _turns.Count];
                if (turn.HasFailed) continue;
                double? seconds = turn.Measure(_milliseconds);
                if (seconds is { } value) turn.Seconds.Add(value);
                else turn.HasFailed = true;
            }
        }
        return [.. _turns.Where(turn => !turn.HasFailed).Select(turn => new Timing(turn.Name, turn.Seconds) { Work = turn.Work })];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (Workload workload in _workloads) workload.Dispose();
    }

    private void Add(string name, double work, Workload workload)
    {
        _workloads.Add(workload);
        _turns.Add(new Turn(name, workload.OwnWork ?? work, milliseconds => TimedBatch.SecondsPerCall(workload, milliseconds * 1e-3)));
    }

    private double? Ask(PeerProcess peer, BenchCase benchCase, int milliseconds)
    {
        double? seconds = peer.SecondsPerCall(benchCase.Question, milliseconds, out string? reason);
        if (seconds is null && reason != "unsupported") _log.WriteLine($"{peer.Name}: {benchCase.Bench} {benchCase.Name}: {reason}");
        return seconds;
    }

    private sealed class Turn(string name, double work, Func<int, double?> measure)
    {
        public string Name => name;

        public double Work => work;

        public Func<int, double?> Measure => measure;

        public List<double> Seconds { get; } = [];

        public bool HasFailed { get; set; }
    }
}
