using System.Globalization;

namespace DistTrain.Bench;

/// <summary>The columns of nccl-tests, for people, and the rows: rank 0's.</summary>
public sealed class CollectiveTable(AllReduceOptions options, RankWorld world, TextWriter output)
{
    private readonly List<Row> _rows = [];

    /// <summary>What was measured so far.</summary>
    public IReadOnlyList<Row> Rows => _rows;

    /// <summary>Elements that were wrong so far.</summary>
    public long WrongCount { get; private set; }

    /// <summary>Says what is measured, beside whom, and what the columns mean.</summary>
    public void Begin(IEnumerable<PeerProcess> peers)
    {
        ArgumentNullException.ThrowIfNull(peers);
        output.WriteLine($"{options.Shape.Name}, f32{(options.Shape.Verb is Collectives.CollectiveVerb.AllReduce or Collectives.CollectiveVerb.Reduce or Collectives.CollectiveVerb.ReduceScatter ? ", sum" : "")}, " +
            $"{world.WorldSize} ranks over {world.Transport} on {RankThread.MachineCoreCount} cores; {world.Device.Description}");
        foreach (PeerProcess peer in peers) output.WriteLine($"{peer.Name}: {peer.Description}");
        output.WriteLine($"algorithm bandwidth = bytes / time;  {options.Shape.Formula}, n = {world.WorldSize}");
        output.WriteLine("time: slowest rank, median over rounds;  ours / it: how many times as fast as it ours is, median over rounds (of the bound: our share of it)");
        output.WriteLine();
        output.WriteLine($"{"bytes",11} {"elements",10}  {"memory",-10}  {"implementation",-14} {"algorithm",-18} {"time us",11} {"alg GB/s",9} {"bus GB/s",9} {"wrong",6}  ours / it");
    }

    /// <summary>Prints a size and keeps its rows: what is the same for both memories appears under both.</summary>
    public void Add(long bytes, IReadOnlyList<Contender> contenders)
    {
        ArgumentNullException.ThrowIfNull(contenders);
        foreach (string memory in options.Memories)
        {
            Contender[] shown = [.. contenders.Where(contender => (contender.Memory is null || contender.Memory == memory) && contender.Seconds.Count > 0)];
            foreach (Contender contender in shown)
            {
                double seconds = Statistic.Median(contender.Seconds), bus = options.Shape.BusBandwidth(world.WorldSize, bytes, seconds) / 1e9;
                _rows.Add(new Row(options.Shape.Bench, $"{memory} {bytes}", 1, world.WorldSize, contender.Transport, contender.Algorithm, contender.Implementation, Row.Rounded(bus), "GB/s", "higher"));
                string ratio = contender == shown[0] ? "" : Fixed(Statistic.MedianRatio(contender.Seconds, shown[0].Seconds), "0.00");
                string wrong = contender is PeerContender ? "" : $"{contender.WrongCount}";
                output.WriteLine($"{bytes,11} {bytes / sizeof(float),10}  {memory,-10}  {contender.Implementation,-14} {contender.Algorithm ?? "",-18} {Fixed(seconds * 1e6, "0.00"),11} " +
                    $"{Fixed(bytes / seconds / 1e9, "0.000"),9} {Fixed(bus, "0.000"),9} {wrong,6}  {ratio,9}");
            }
        }
        WrongCount += contenders.Sum(contender => contender.WrongCount);
        output.Flush();
    }

    private static string Fixed(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
