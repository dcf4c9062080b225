namespace DistTrain.Bench;

/// <summary>All benches by name. A new one is a line here and a workload beside it.</summary>
public static class BenchCatalog
{
    private static readonly Dictionary<string, (string Description, Func<bool, IEnumerable<BenchCase>> Cases)> s_benches = new()
    {
        ["matmul"] = ("f32 matrix product, overwriting", isGpu => isGpu ? MatMulWorkload.GpuCases() : MatMulWorkload.Cases()),
        ["convolution"] = ("2-D convolution with bias, each pass apart", _ => ConvolutionWorkload.Cases()),
        ["softmax"] = ("softmax with temperature over rows", _ => SoftmaxWorkload.Cases()),
        ["distillation-loss"] = ("distillation loss with its gradient, alpha 0.5, T 4", _ => DistillationLossWorkload.Cases()),
        ["attention"] = ("scaled dot-product attention, [batch, tokens, heads, head size]", _ => AttentionWorkload.Cases()),
        ["train-step"] = ("a training step on a batch in memory: forward, backward, SGD with momentum", TrainStepWorkload.Cases),
        ["ingest"] = ("bytes to batches: checksums, records, operators, overlap of stages, remote files", isGpu => isGpu ? [] : IngestCases.All()),
        ["limits"] = ("what the machine allows: multiply-adds on registers, copies in the caches and beyond", isGpu => isGpu ? CopyWorkload.Cases() : FmaPeakWorkload.Cases().Concat(CopyWorkload.Cases())),
    };

    /// <summary>The names, in the order that <c>all</c> runs them.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. s_benches.Keys];

    /// <summary>The cases of a bench that are meant for the CPU, or for a GPU.</summary>
    public static IEnumerable<BenchCase> Cases(string name, bool isGpu) => s_benches[name].Cases(isGpu);

    /// <summary>Characters of the longest case name of a bench.</summary>
    public static int WidestCaseName(string name) => s_benches[name].Cases(false).Concat(s_benches[name].Cases(true)).Max(benchCase => benchCase.Name.Length);

    /// <summary>What <c>--list</c> says.</summary>
    public static void Print(TextWriter output)
    {
        ArgumentNullException.ThrowIfNull(output);
        foreach ((string name, (string description, Func<bool, IEnumerable<BenchCase>> cases)) in s_benches)
        {
            output.WriteLine($"{name}: {description}");
            HashSet<string> onCpu = [.. cases(false).Select(benchCase => benchCase.Name)];
            foreach (BenchCase benchCase in cases(false).Concat(cases(true).Where(other => !onCpu.Contains(other.Name))))
                output.WriteLine($"  {benchCase.Name.PadRight(WidestCaseName(name))}  {benchCase.Measure.Unit(),-9}  {benchCase.Measure.Better()} is better{(onCpu.Contains(benchCase.Name) ? "" : "  (GPU)")}");
        }
        PrintCollectives(output);
        output.WriteLine($"{StrategyCommand.Name}: {StrategyCommand.Description}");
        output.WriteLine($"{StragglerCommand.Name}: {StragglerCommand.Description}");
        output.WriteLine($"peers: {string.Join(", ", PeerCatalog.Names)}");
        output.WriteLine($"  installed: {string.Join(", ", PeerCatalog.Installed("cpu").DefaultIfEmpty("none; bench/peers/setup.sh installs them"))}");
    }

    private static void PrintCollectives(TextWriter output)
    {
        output.WriteLine($"{AllReduceCommand.Name}: {AllReduceCommand.Description}");
        foreach (string memory in (string[])["registered", "ordinary"])
            output.WriteLine($"  {memory} BYTES, 256 to 268435456 by fours, --verb {string.Join("|", CollectiveShape.All.Select(shape => shape.Name))}  GB/s  higher is better");
        output.WriteLine($"  peers: {string.Join(", ", AllReduceOptions.Peers)}");
        output.WriteLine($"    installed: {string.Join(", ", CollectivePeers.Installed().DefaultIfEmpty("none; bench/peers/setup.sh installs them"))}");
    }
}
