using System.Diagnostics;
using DistTrain.Collectives;

namespace DistTrain.Bench;

/// <summary>Brings the ranks of a run together: threads, processes that it starts, or the world of the launcher that started it.</summary>
public sealed class AllReduceRun(AllReduceOptions options, IReadOnlyList<string> arguments)
{
    private const int DefaultRankCount = 2;

    /// <summary>Measures; gives the exit code: 0, or 1 if an element was wrong.</summary>
    public int Run()
    {
        RankPlace? launched = RankPlace.OfEnvironment();
        if (options.Transport == "inprocess") return launched is null ? RunThreads() : throw new UsageException("--transport inprocess has its ranks in one process; start it without a launcher");
        if (launched is not null) return RunLaunched(launched);
        return options.Transport switch
        {
            "shm" => RunProcesses(),
            "mpi" => RunUnderMpirun(),
            _ => throw new NotSupportedException($"--transport {options.Transport} moves GPU memory, and this bench writes and checks host memory; measure shm, inprocess or mpi"),
        };
    }

    // Whether the bench started its ranks itself, all on this machine.
    private static bool IsOurs => Environment.GetEnvironmentVariable(RankPlace.JobVariable) is not null;

    private int RunThreads()
    {
        int ranks = options.RankCount ?? DefaultRankCount;
        using PeerSet peers = StartPeers(ranks);
        RankThreadWorlds worlds = new(ranks);
        int exitCode = 0;
        RankThread[] threads = [.. Enumerable.Range(0, ranks).Select(rank => new RankThread(rank, ranks, () =>
        {
            int code = RunRank((name, communicator) => worlds.Join(rank, name, communicator), peers.Names, rank == 0 ? peers.Processes : []);
            if (rank == 0) exitCode = code;
        }))];
        foreach (RankThread thread in threads) thread.Join();
        return exitCode;
    }

    private int RunProcesses()
    {
        int ranks = options.RankCount ?? DefaultRankCount;
        using PeerSet peers = StartPeers(ranks);
        RankPlace place = RankPlace.Leader(ranks);
        // The others are told which peers there are: all ranks take the same turns.
        using RankProcesses others = new(place, [.. arguments, "--against", peers.Names.Count == 0 ? "none" : string.Join(',', peers.Names)]);
        int exitCode = RunPlace(place, ranks, peers);
        others.Join();
        return exitCode;
    }

    private int RunLaunched(RankPlace place)
    {
        if (options.RankCount is { } ranks && ranks != place.WorldSize) throw new UsageException($"--ranks {ranks}, but the launcher started {place.WorldSize}; leave --ranks out");
        if (!IsOurs && options.Against is { Count: > 0 })
            throw new UsageException("--against inside a launcher: peers are started beside ranks of one machine that the bench starts itself; leave the launcher or --against out");
        if (!IsOurs) return RunPlace(place, place.WorldSize, new PeerSet([], []));
        // Under our own mpirun it is rank 0 that starts them.
        using PeerSet peers = options.Transport == "mpi" && place.Rank == 0 ? StartPeers(place.WorldSize) : new PeerSet([], []);
        return RunPlace(place, place.WorldSize, peers with { Names = options.Against ?? [] });
    }

    private int RunPlace(RankPlace place, int localRanks, PeerSet peers)
    {
        int exitCode = 0;
        new RankThread(place.Rank, localRanks, () => exitCode = RunRank((name, communicator) => Join(place, name, communicator), peers.Names, peers.Processes)).Join();
        return exitCode;
    }

    private ICommunicator Join(RankPlace place, string name, CommunicatorOptions communicator) => options.Transport switch
    {
        "shm" => Communicator.SharedMemory(place.Rank, place.WorldSize, place.Address(name), place.Secret, communicator),
        "mpi" when name != RankWorld.ControlName || !IsOurs => Communicator.Mpi(communicator),
        "mpi" => Communicator.SharedMemory(place.Rank, place.WorldSize, place.Address(name), place.Secret, communicator),
        _ => throw new NotSupportedException($"--transport {options.Transport} moves GPU memory, and this bench writes and checks host memory ({name}); measure shm, inprocess or mpi"),
    };

    private int RunUnderMpirun()
    {
        int ranks = options.RankCount ?? DefaultRankCount;
        string peers = options.FitFile is not null ? "none" : string.Join(',', (options.Against ?? [.. CollectivePeers.Installed()]).DefaultIfEmpty("none"));
        // Not bound: rank 0 starts peers, which would inherit that; the ranks bind themselves.
        ProcessStartInfo start = new(CollectivePeers.Mpirun ?? throw new NotSupportedException("mpirun is not installed (Debian: openmpi-bin); start the bench inside another launcher of an MPI instead"),
        [
            "--bind-to", "none", .. ranks > Environment.ProcessorCount ? (string[])["--oversubscribe"] : ["--use-hwthread-cpus"], "-n", $"{ranks}", "-x", RankPlace.JobVariable, "-x", JobSecret.Variable,
            .. RankProcesses.ThisProgram, "rows", AllReduceCommand.Name, .. arguments, "--against", peers,
        ]);
        RankPlace job = RankPlace.Leader(ranks);
        (start.Environment[RankPlace.JobVariable], start.Environment[JobSecret.Variable]) = (job.Job, Convert.ToHexStringLower(job.Secret));
        (start.Environment["OMPI_ALLOW_RUN_AS_ROOT"], start.Environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"]) = ("1", "1");
        using Process process = Process.Start(start) ?? throw new InvalidOperationException("can't start mpirun");
        process.WaitForExit();
        return process.ExitCode;
    }

    private int RunRank(Func<string, CommunicatorOptions, ICommunicator> join, IReadOnlyList<string> peerNames, IReadOnlyList<PeerProcess> peers)
    {
        using RankWorld world = new(options, isApart: options.Transport == "mpi" && IsOurs, join);
        CollectiveSession session = new(world, options, peerNames, peers);
        if (world.Rank != 0)
        {
            session.Run((_, _) => { });
            return 0;
        }
        TextWriter output = options.JsonFile == "-" ? Console.Error : Console.Out;
        CollectiveTable table = new(options, world, output);
        AlgorithmFit fit = new(world.WorldSize);
        table.Begin(peers);
        session.Run((bytes, contenders) =>
        {
            table.Add(bytes, contenders);
            fit.Add(bytes, contenders);
            if (options.JsonFile is not null and not "-") File.WriteAllText(options.JsonFile, Row.ToJson(table.Rows));
        });
        if (options.JsonFile == "-") Console.Out.Write(Row.ToJson(table.Rows));
        if (options.FitFile is { } file)
        {
            AlgorithmChooser chooser = fit.Choose();
            fit.Print(chooser, output);
            chooser.Save(file);
        }
        if (table.WrongCount > 0) Console.Error.WriteLine($"bench: {table.WrongCount} elements were wrong");
        return table.WrongCount > 0 ? 1 : 0;
    }

    private PeerSet StartPeers(int ranks)
    {
        List<PeerProcess> peers = [];
        if (options.FitFile is not null) return new PeerSet([], []);
        foreach (string name in options.Against ?? [.. CollectivePeers.Installed()])
        {
            PeerProcess? peer = CollectivePeers.Start(name, ranks, out string? reason);
            if (peer is not null) peers.Add(peer);
            else Console.Error.WriteLine($"bench: without {name}: {reason}");
        }
        return new PeerSet([.. peers.Select(peer => peer.Name)], peers);
    }

    private sealed record PeerSet(IReadOnlyList<string> Names, IReadOnlyList<PeerProcess> Processes) : IDisposable
    {
        public void Dispose()
        {
            foreach (PeerProcess peer in Processes) peer.Dispose();
        }
    }
}
