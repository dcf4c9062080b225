using System.Globalization;

namespace DistTrain.Bench;

/// <summary>Multi-worker mirrored: a process for each replica, joined over shared memory, each asked for the same steps at the same time.</summary>
public sealed class WorkerTrainee : Trainee
{
    private readonly PeerProcess[] _workers;

    private WorkerTrainee(PeerProcess[] workers, int batch)
        : base("multi-worker", workers.Length, workers.Length * batch) => _workers = workers;

    /// <inheritdoc/>
    public override string? Transport => "shm";

    /// <summary>Starts the processes.</summary>
    /// <exception cref="IOException">One did not start.</exception>
    public static WorkerTrainee Start(int ranks, string model, int batch)
    {
        List<PeerProcess> workers = [];
        string address = $"@disttrain-bench-{Environment.ProcessId}-{Guid.NewGuid():N}";
        for (int rank = 0; rank < ranks; rank++)
        {
            string[] arguments = [Environment.GetCommandLineArgs()[0], "rows", StrategyCommand.Name, WorkerRank.Option, $"{rank}", $"{ranks}", address, model, $"{batch}"];
            PeerProcess? worker = PeerProcess.TryStart($"worker {rank}", "dotnet", arguments, new Dictionary<string, string>(), out string? reason);
            if (worker is null)
            {
                foreach (PeerProcess started in workers) started.Dispose();
                throw new IOException($"worker {rank} of {ranks} did not start: {reason}");
            }
            workers.Add(worker);
        }
        return new WorkerTrainee([.. workers], batch);
    }

    /// <summary>The others run code that this process has compiled for those before them; here each process compiles its own, beside its training.</summary>
    protected override int WarmUpTurns => 4 * Ranks;

    /// <inheritdoc/>
    public override void Dispose()
    {
        foreach (PeerProcess worker in _workers) worker.Dispose();
    }

    /// <inheritdoc/>
    protected override Pace Run(int stepCount)
    {
        double[] seconds = Ask(string.Create(CultureInfo.InvariantCulture, $"{WorkerRank.Steps} {stepCount}"));
        // Every process learns of its own reductions; the first one's count, as in one process.
        return PaceOf(stepCount, seconds.Max(), (Ask(WorkerRank.Reduction)[0], Ask(WorkerRank.Exposed)[0]));
    }

    private double[] Ask(string question)
    {
        double?[] answers = new double?[_workers.Length];
        string?[] reasons = new string?[_workers.Length];
        Thread[] threads = [.. _workers.Select((worker, i) => new Thread(() => answers[i] = worker.SecondsPerCall(question, 0, out reasons[i])))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        return [.. answers.Select((answer, i) => answer ?? throw new IOException($"{_workers[i].Name}: {question}: {reasons[i]}"))];
    }
}
