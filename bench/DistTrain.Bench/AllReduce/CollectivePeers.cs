namespace DistTrain.Bench;

/// <summary>The peers of collectives: Open MPI, started by its mpirun, and Gloo as torch.distributed has it. Both are optional: <c>bench/peers/setup.sh</c> makes them.</summary>
public static class CollectivePeers
{
    /// <summary>Those that could be started here.</summary>
    public static IEnumerable<string> Installed() => AllReduceOptions.Peers.Where(name => Unavailable(name) is null);

    /// <summary>Where a peer's own bytes go: the transport in its rows.</summary>
    public static string TransportOf(string name) => name == "gloo" ? "tcp" : "shm";

    /// <summary>Starts a peer with so many ranks on this machine, or returns null with the reason why it can't be.</summary>
    public static PeerProcess? Start(string name, int ranks, out string? reason)
    {
        reason = Unavailable(name);
        if (reason is not null) return null;
        Dictionary<string, string> environment = new() { ["OMP_NUM_THREADS"] = "1", ["PYTHONDONTWRITEBYTECODE"] = "1" };
        if (name == "gloo") return PeerProcess.TryStart(name, PeerCatalog.PythonWithTorch!, [PeerCatalog.Script("collective_gloo.py"), $"{ranks}"], environment, out reason);
        // Containers have no other user than root, which mpirun asks twice about.
        (environment["OMPI_ALLOW_RUN_AS_ROOT"], environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"]) = ("1", "1");
        // A rank a core, bound to it, as mpirun does by itself; it must be told only where there are more ranks than cores.
        string[] placing = ranks > Environment.ProcessorCount ? ["--oversubscribe"] : ["--use-hwthread-cpus", "--bind-to", "hwthread"];
        return PeerProcess.TryStart(name, Mpirun!, [.. placing, "-n", $"{ranks}", PeerCatalog.ProgramOf("openmpi")], environment, out reason);
    }

    /// <summary>Open MPI's mpirun; null where it is not installed.</summary>
    public static string? Mpirun => ((string[])["mpirun.openmpi", "mpirun"]).FirstOrDefault(program => PeerProcess.Succeeds(program, "--version"));

    private static string? Unavailable(string name)
    {
        if (name == "gloo") return PeerCatalog.PythonWithTorch is null ? "no python3 here can import torch.distributed" : null;
        if (!File.Exists(PeerCatalog.ProgramOf("openmpi"))) return "not installed; bench/peers/setup.sh builds it";
        return Mpirun is null ? "mpirun is not installed (Debian: openmpi-bin)" : null;
    }
}
