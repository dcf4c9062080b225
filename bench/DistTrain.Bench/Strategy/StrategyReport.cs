using System.Globalization;
using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>Measures what the options ask for, prints it and writes rows.</summary>
public sealed class StrategyReport(StrategyOptions options, TextWriter output)
{
    private const int ShardCount = 8, ShardSamples = 32, CheckpointBatch = 128, RecoveryCount = 3;
    private static readonly int[] s_simulatedWorkers = [1, 2, 4, 8, 16, 32];
    private static readonly (string Network, string Color)[] s_colors = [(ReferenceNetwork.AlexNet.Name, "#4a6fa5"), (ReferenceNetwork.Vgg16.Name, "#c0483f")];

    private readonly List<Row> _rows = [];
    private readonly List<(int Ranks, double Share)> _stalls = [];

    /// <summary>Does it all. Rows are written after each part: a run that is stopped keeps what it has measured.</summary>
    public void Write()
    {
        Save();
        using (CommunicationMeter meter = new())
        {
            if (Wants("speed")) Speed(meter);
            if (Wants("shards")) Shards(meter);
        }
        if (Wants("checkpoint")) Checkpoint();
        if (Wants("recovery")) Recovery();
        if (Wants("simulation")) Simulation();
        if (options.JsonFile == "-") Console.Out.Write(Row.ToJson(_rows));
        if (options.PlotFile is { } plot) File.WriteAllText(plot, StallPicture.Draw(Describe(), Curves()));
    }

    private bool Wants(string part) => options.Only.Contains(part);

    private void Speed(CommunicationMeter meter)
    {
        output.WriteLine($"{options.Model}, {options.Batch} samples a replica and step; medians of {options.Rounds} rounds in turn; efficiency: samples/s as a part of as many independent runs' at the same time");
        output.WriteLine($"{"strategy",-24}{"replicas",9}{"transport",11}{"samples/s",11}{"efficiency",12}{"hidden",9}{"stall",9}");
        foreach (int ranks in options.Ranks)
        {
            using SpeedContest contest = new(options, meter, Console.Error);
            IReadOnlyList<SpeedResult> results = contest.Run(ranks);
            foreach (SpeedResult result in results) Add(result, results[0]);
            _stalls.Add((ranks, results.FirstOrDefault(result => result.Trainee.Name == "mirrored")?.Median(pace => pace.StallShare) ?? 0));
            Save();
        }
        using SpeedContest peers = new(options, meter, Console.Error);
        IReadOnlyList<SpeedResult> compared = peers.RunAgainstPeers(Math.Min(2, Environment.ProcessorCount));
        foreach (SpeedResult peer in compared.Skip(1))
        {
            double ratio = compared[0].Relative(peer);
            Print($"mirrored on {compared[0].Trainee.Ranks} one-core replicas beside {peer.Trainee.Name} with {((PeerTrainee)peer.Trainee).Threads} threads", $"{compared[0].Median(pace => pace.SamplesPerSecond):N0} and {peer.Median(pace => pace.SamplesPerSecond):N0} samples/s: {ratio:F2} times as fast");
            Add("strategy-peer", $"{options.Model} batch {compared[0].Trainee.Ranks * options.Batch}", compared[0].Trainee.Ranks, null, "mirrored", "disttrain", compared[0].Median(pace => pace.SamplesPerSecond), "samples/s", "higher");
            Add("strategy-peer", $"{options.Model} batch {compared[0].Trainee.Ranks * options.Batch}", null, null, null, peer.Trainee.Name, peer.Median(pace => pace.SamplesPerSecond), "samples/s", "higher");
            Add("strategy-peer-ratio", $"{options.Model} batch {compared[0].Trainee.Ranks * options.Batch}", compared[0].Trainee.Ranks, null, "mirrored", peer.Trainee.Name, ratio, "x", "higher");
        }
        Save();
    }

    private void Add(SpeedResult result, SpeedResult independent)
    {
        Trainee trainee = result.Trainee;
        string name = $"{options.Model} batch {options.Batch}";
        bool isJudged = trainee.Transport is not null || trainee.Name == LocalTrainee.InStep;
        double efficiency = result.Relative(independent);
        Add("strategy", name, trainee.Ranks, trainee.Transport, trainee.Name, "disttrain", result.Median(pace => pace.SamplesPerSecond), "samples/s", "higher");
        if (isJudged)
        {
            Add("strategy-efficiency", name, trainee.Ranks, trainee.Transport, trainee.Name, "disttrain", efficiency, "of independent runs", "higher");
        }
        // Workers of a parameter server reduce nothing together.
        bool reduces = result.Median(pace => pace.ReductionSeconds) > 0;
        if (reduces)
        {
            Add("strategy-overlap", name, trainee.Ranks, trainee.Transport, trainee.Name, "disttrain", result.Median(pace => pace.HiddenShare), "of reductions hidden", "higher");
            Add("strategy-stall", name, trainee.Ranks, trainee.Transport, trainee.Name, "disttrain", result.Median(pace => pace.StallShare), "of the step", "lower");
        }
        string shares = (isJudged ? Invariant($"{efficiency,12:F3}") : "") + (reduces ? Invariant($"{result.Median(pace => pace.HiddenShare),9:P0}{result.Median(pace => pace.StallShare),9:P1}") : "");
        output.WriteLine(Invariant($"{trainee.Name,-24}{trainee.Ranks,9}{trainee.Transport ?? "",11}{result.Median(pace => pace.SamplesPerSecond),11:N0}") + shares);
    }

    private void Shards(CommunicationMeter meter)
    {
        foreach (string model in (string[])["convnet", "mlp"])
        {
            using SpeedContest contest = new(options, meter, Console.Error);
            IReadOnlyList<SpeedResult> results = contest.RunShards(model, ShardCount, ShardSamples);
            double cost = 1 - results[1].Relative(results[0]);
            Print($"{model}: {ShardCount} virtual shards of {ShardSamples} samples on 2 replicas beside accumulation over equal micro-batches", Invariant($"{Math.Abs(cost):P1} {(cost < 0 ? "faster" : "slower")}"));
            Add("virtual-shards", $"{model}, {ShardCount} shards of {ShardSamples}", 2, "inprocess", "mirrored", "disttrain", cost, "of the speed", "lower");
        }
        Save();
    }

    private void Checkpoint()
    {
        (double Stall, double Step)[] rounds = [.. Enumerable.Range(0, options.Rounds).Select(_ => CheckpointStall.Measure("convnet", CheckpointBatch, Straggler.Images()))];
        double share = Statistic.Median(rounds.Select(round => round.Stall / round.Step));
        Print($"checkpoint: convnet, batch {CheckpointBatch}, Adam, one device", Invariant($"stalls {Statistic.Median(rounds.Select(round => round.Stall)) * 1e3:F2} ms, {share:P1} of a step"));
        Add("checkpoint-stall", $"convnet batch {CheckpointBatch}, adam", 1, null, "one-device", "disttrain", share, "of the step", "lower");
        Save();
    }

    private void Recovery()
    {
        if (RecoveryTime.Tool is null)
        {
            Console.Error.WriteLine("bench: without recovery: the command-line tool was not built beside this program");
            return;
        }
        double seconds = Statistic.Median(Enumerable.Range(0, Math.Min(options.Rounds, RecoveryCount)).Select(_ => RecoveryTime.Measure()).ToArray());
        Print("from kill -9 of one of two processes to training again under disttrain launch", Invariant($"{seconds:F2} s"));
        Add("recovery", "kill -9 of one of two, mlp on digits", 2, "shm", "multi-worker", "disttrain", seconds, "s", "lower");
        Save();
    }

    private void Simulation()
    {
        output.WriteLine();
        output.WriteLine($"share of a step that waits for gradients, simulated: {Describe()}");
        output.WriteLine($"{"workers",8}" + string.Concat(ReferenceNetwork.All.Select(network => $"{network.Name,12}{"no overlap",12}")) + $"{"measured",12}");
        foreach (int workers in s_simulatedWorkers)
        {
            string measured = _stalls.FirstOrDefault(stall => stall.Ranks == workers) is { Ranks: > 0 } found ? Invariant($"{found.Share,12:P1}") : "";
            output.WriteLine($"{workers,8}" + string.Concat(ReferenceNetwork.All.Select(network => Invariant($"{Simulate(network, workers, true),12:P1}{Simulate(network, workers, false),12:P1}"))) + measured);
            foreach (ReferenceNetwork network in ReferenceNetwork.All)
            {
                Add("strategy-stall-simulated", $"{network.Name} batch {options.SimulatedBatch}", workers, null, "ring", "model", Simulate(network, workers, true), "of the step", "lower");
                Add("strategy-stall-simulated", $"{network.Name} batch {options.SimulatedBatch}, no overlap", workers, null, "ring", "model", Simulate(network, workers, false), "of the step", "lower");
            }
        }
        Save();
    }

    private double Simulate(ReferenceNetwork network, int workers, bool overlaps) =>
        StepSimulator.Run(network, new SimulatedCluster(workers, options.Link, options.Flops, options.SimulatedBatch), overlaps).StallShare;

    private List<StallCurve> Curves()
    {
        List<StallCurve> curves = [];
        foreach ((string name, string color) in s_colors)
            foreach (bool overlaps in (bool[])[true, false])
                curves.Add(new StallCurve($"{name}, simulated{(overlaps ? "" : ", without overlap")}", color, IsMeasured: false, IsDashed: !overlaps,
                    [.. s_simulatedWorkers.Select(workers => (workers, Simulate(ReferenceNetwork.All.First(network => network.Name == name), workers, overlaps)))]));
        if (_stalls.Count > 0) curves.Add(new StallCurve($"{options.Model}, measured on {Environment.ProcessorCount} cores", "#333", IsMeasured: true, IsDashed: false, _stalls));
        return curves;
    }

    private string Describe() => Invariant($"ring all-reduce, {options.SimulatedBatch} samples a worker at {options.Flops / 1e12:0.##} TFLOP/s, alpha {options.Link.Alpha * 1e6:0.##} us, beta {options.Link.Beta * 1e9:0.###} ns a byte");

    private void Print(string what, string found) => output.WriteLine($"{what}: {found}");

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private void Add(string bench, string name, int? ranks, string? transport, string? strategy, string implementation, double value, string unit, string better) =>
        _rows.Add(new Row(bench, name, null, ranks, transport, strategy, implementation, Row.Rounded(value), unit, better));

    private void Save()
    {
        if (options.JsonFile is { } file and not "-") File.WriteAllText(file, Row.ToJson(_rows));
    }
}
