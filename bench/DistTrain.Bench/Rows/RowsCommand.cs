using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary><c>rows</c>: what <c>disttrain bench</c> starts. Measures cases, ours and the peers' in turn, and writes rows and a table.</summary>
public static class RowsCommand
{
    /// <summary>Runs with the arguments after <c>rows</c>; gives the exit code: 0, 1 (a device that can't be used), 2 (usage).</summary>
    public static int Run(IReadOnlyList<string> arguments)
    {
        try
        {
            RowsOptions options = RowsOptions.Parse(arguments);
            if (options.IsHelp) Console.WriteLine(RowsOptions.Usage);
            else if (options.IsList) BenchCatalog.Print(Console.Out);
            else if (options.PlotFile is { } file) OverlapPicture.Write(file);
            else MeasureAll(options);
            return 0;
        }
        catch (UsageException mistake)
        {
            Console.Error.WriteLine($"bench: {mistake.Message}");
            return 2;
        }
        catch (Exception failure) when (failure is DeviceException or OutOfDeviceMemoryException or IOException or UnauthorizedAccessException)
        {
            Console.Error.WriteLine($"bench: {failure.Message}");
            return 1;
        }
    }

    private static void MeasureAll(RowsOptions options)
    {
        List<Row> rows = [];
        Write(options, rows);
        RowTable table = new(options.JsonFile == "-" ? Console.Error : Console.Out);
        foreach (int threads in options.Threads)
        {
            BenchCase[] cases = [.. Cases(options, isFirst: threads == options.Threads[0])];
            if (cases.Length == 0) continue;
            using ComputeDevice device = options.IsCpu ? new CpuDevice("cpu", InstructionSets.Chosen(), threads) : DeviceCatalog.Open(options.Device);
            List<PeerProcess> peers = StartPeers(options, threads, Console.Error);
            try
            {
                table.Begin(device, peers);
                foreach (BenchCase benchCase in cases)
                {
                    rows.AddRange(Measure(benchCase, device, peers, options, table));
                    Write(options, rows);
                }
            }
            finally
            {
                foreach (PeerProcess peer in peers) peer.Dispose();
            }
        }
        if (options.JsonFile == "-") Console.Out.Write(Row.ToJson(rows));
    }

    private static IEnumerable<BenchCase> Cases(RowsOptions options, bool isFirst) => options.Names.SelectMany(name => BenchCatalog.Cases(name, isGpu: !options.IsCpu))
        .Where(benchCase => options.CaseFilter is not { } text || benchCase.Name.Contains(text, StringComparison.OrdinalIgnoreCase))
        .Where(benchCase => isFirst || benchCase.ThreadCount is null);

    private static List<Row> Measure(BenchCase benchCase, ComputeDevice device, List<PeerProcess> peers, RowsOptions options, RowTable table)
    {
        using Turns turns = new(benchCase, device, peers, options.Milliseconds, Console.Error);
        IReadOnlyList<Timing> timings = turns.Take(options.RoundCount);
        int? threads = benchCase.ThreadCount ?? (device is CpuDevice ? device.CoreCount : null);
        List<Row> rows = [];
        foreach (Timing timing in timings)
        {
            Row row = Row.Of(benchCase, threads, timing.Implementation, Statistic.Median(timing.Seconds.Select(seconds => benchCase.Measure.Value(timing.Work, seconds))));
            // How many times as fast as the other ours is, within each round.
            IEnumerable<double> ratios = timings[0].Seconds.Zip(timing.Seconds, (ours, theirs) => theirs / timing.Work / (ours / timings[0].Work));
            table.Add(row, Statistic.Median(ratios));
            rows.Add(row);
        }
        return rows;
    }

    private static List<PeerProcess> StartPeers(RowsOptions options, int threads, TextWriter log)
    {
        List<PeerProcess> peers = [];
        foreach (string name in options.Against ?? [.. PeerCatalog.Installed(options.Device)])
        {
            PeerProcess? peer = PeerCatalog.Start(name, options.Device, threads, out string? reason);
            if (peer is not null) peers.Add(peer);
            else log.WriteLine($"bench: without {name}: {reason}");
        }
        return peers;
    }

    private static void Write(RowsOptions options, List<Row> rows)
    {
        // After each case: a run that is stopped keeps what it has measured, and a path that can't be written fails at the start.
        if (options.JsonFile is not null and not "-") File.WriteAllText(options.JsonFile, Row.ToJson(rows));
    }
}
