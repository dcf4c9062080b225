using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>The peers, by the names that rows have, and how to start each. All are optional: <c>bench/peers/setup.sh</c> makes them.</summary>
public static class PeerCatalog
{
    /// <summary>The environment variable that names the folder of built peers.</summary>
    public const string FolderVariable = "DISTTRAIN_PEERS";

    /// <summary>All names.</summary>
    public static IReadOnlyList<string> Names { get; } = ["torchsharp", "onednn", "openblas", "pytorch", "pytorch-tf32", "pytorch-bf16"];

    /// <summary>Peers that could be started for a device: those that are installed and know it.</summary>
    public static IEnumerable<string> Installed(string device) => Names.Where(name => Unavailable(name, device) is null);

    /// <summary>Starts a peer, or returns null with the reason why it can't be.</summary>
    public static PeerProcess? Start(string name, string device, int threads, out string? reason)
    {
        reason = Unavailable(name, device);
        if (reason is not null) return null;
        bool isPython = IsPython(name);
        string count = $"{Math.Max(threads, 1)}";
        Dictionary<string, string> environment = new()
        {
            ["OMP_NUM_THREADS"] = count,
            ["OPENBLAS_NUM_THREADS"] = count,
            ["MKL_NUM_THREADS"] = count,
        };
        // OpenBLAS 0.3.21 does not know newer processors and falls back to its AVX2 kernels.
        if (name == "openblas" && InstructionSets.Best == InstructionSet.Avx512 && Environment.GetEnvironmentVariable("OPENBLAS_CORETYPE") is null)
            environment["OPENBLAS_CORETYPE"] = "SkylakeX";
        string[] arguments = isPython ? [ScriptPath, device, count, name["pytorch".Length..].TrimStart('-')] : [count];
        return PeerProcess.TryStart(name, isPython ? "python3" : ProgramOf(name), arguments, environment, out reason);
    }

    private static bool IsPython(string name) => name.StartsWith("pytorch", StringComparison.Ordinal);

    private static string? Unavailable(string name, string device)
    {
        bool isCpu = device == "cpu", isCuda = device.StartsWith("cuda", StringComparison.Ordinal);
        if (!isCpu && !(isCuda && IsPython(name))) return $"it does not run on {device}";
        if (isCpu && name is "pytorch-tf32" or "pytorch-bf16") return "its precision is for GPUs";
        if (IsPython(name)) return HasTorch.Value ? null : "python3 can't import torch";
        return File.Exists(ProgramOf(name)) ? null : "not installed; bench/peers/setup.sh builds it";
    }

    private static Lazy<bool> HasTorch { get; } = new(static () => PeerProcess.Succeeds("python3", "-c", "import torch"));

    private static string ScriptPath => Path.Combine(RepositoryRoot() is { } root ? Path.Combine(root, "bench", "gpu") : AppContext.BaseDirectory, "peer_torch.py");

    private static string ProgramOf(string name) => Path.Combine(Folder, $"{name}-peer");

    private static string Folder =>
        Environment.GetEnvironmentVariable(FolderVariable)
        ?? (RepositoryRoot() is { } root ? Path.Combine(root, "artifacts", "peers") : Path.Combine(AppContext.BaseDirectory, "peers"));

    private static string? RepositoryRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "DistTrain.sln"))) return folder.FullName;
        return null;
    }
}
