using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>The peers, by the names that rows have, and how to start each. All are optional: <c>bench/peers/setup.sh</c> makes them.</summary>
public static class PeerCatalog
{
    /// <summary>The environment variable that names the folder of built peers.</summary>
    public const string FolderVariable = "DISTTRAIN_PEERS";

    /// <summary>All names.</summary>
    public static IReadOnlyList<string> Names { get; } = ["torchsharp", "onednn", "openblas", "pytorch", "pytorch-tf32", "pytorch-bf16", "numpy"];

    /// <summary>Peers that could be started for a device: those that are installed and know it.</summary>
    public static IEnumerable<string> Installed(string device) => Names.Where(name => Unavailable(name, device) is null);

    /// <summary>Starts a peer, or returns null with the reason why it can't be.</summary>
    public static PeerProcess? Start(string name, string device, int threads, out string? reason)
    {
        reason = Unavailable(name, device);
        if (reason is not null) return null;
        string count = $"{Math.Max(threads, 1)}";
        Dictionary<string, string> environment = new()
        {
            ["OMP_NUM_THREADS"] = count,
            ["OPENBLAS_NUM_THREADS"] = count,
            ["MKL_NUM_THREADS"] = count,
            ["PYTHONDONTWRITEBYTECODE"] = "1",
        };
        // OpenBLAS 0.3.21 does not know newer processors and falls back to its AVX2 kernels.
        if (name == "openblas" && InstructionSets.Best == InstructionSet.Avx512 && Environment.GetEnvironmentVariable("OPENBLAS_CORETYPE") is null)
            environment["OPENBLAS_CORETYPE"] = "SkylakeX";
        string[] arguments = name == "numpy" ? [Script("peer_numpy.py")]
            : IsPyTorch(name) ? [Script("peer_torch.py"), device, count, name["pytorch".Length..].TrimStart('-')]
            : [count];
        return PeerProcess.TryStart(name, PythonOf(name)?.Value ?? ProgramOf(name), arguments, environment, out reason);
    }

    private static bool IsPyTorch(string name) => name.StartsWith("pytorch", StringComparison.Ordinal);

    private static string? Unavailable(string name, string device)
    {
        bool isCpu = device == "cpu", isCuda = device.StartsWith("cuda", StringComparison.Ordinal);
        if (!isCpu && !(isCuda && IsPyTorch(name))) return $"it does not run on {device}";
        if (isCpu && name is "pytorch-tf32" or "pytorch-bf16") return "its precision is for GPUs";
        if (PythonOf(name) is { } python) return python.Value is null ? $"no python3 here can import {(IsPyTorch(name) ? "torch" : name)}" : null;
        return File.Exists(ProgramOf(name)) ? null : "not installed; bench/peers/setup.sh builds it";
    }

    private static readonly Lazy<string?> s_pythonWithTorch = new(static () => PythonWith("torch")), s_pythonWithNumpy = new(static () => PythonWith("numpy"));

    internal static string? PythonWithTorch => s_pythonWithTorch.Value;

    private static Lazy<string?>? PythonOf(string name) => IsPyTorch(name) ? s_pythonWithTorch : name == "numpy" ? s_pythonWithNumpy : null;

    // The first python3 may be one for other purposes; Debian's packages are Debian's own interpreter's.
    private static string? PythonWith(string module) => ((string[])["python3", "/usr/bin/python3"]).FirstOrDefault(python => PeerProcess.Succeeds(python, "-c", $"import {module}"));

    internal static string Script(string name) => Path.Combine(RepositoryRoot() is { } root ? Path.Combine(root, "bench", "peers") : AppContext.BaseDirectory, name);

    internal static string ProgramOf(string name) => Path.Combine(Folder, $"{name}-peer");

    private static string Folder =>
        Environment.GetEnvironmentVariable(FolderVariable)
        ?? (RepositoryRoot() is { } root ? Path.Combine(root, "artifacts", "peers") : Path.Combine(AppContext.BaseDirectory, "peers"));

    internal static string? RepositoryRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "DistTrain.sln"))) return folder.FullName;
        return null;
    }
}
