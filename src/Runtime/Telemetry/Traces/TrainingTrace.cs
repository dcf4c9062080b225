using System.Runtime.InteropServices;
using DistTrain.Collectives;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Records what every replica of a strategy does and when, and writes it for Perfetto (ui.perfetto.dev) or any viewer of the Trace Event Format: a process for each replica, with rows for computation,
/// communication, waits for input and checkpoints. Each replica keeps its newest spans in memory, about 50 bytes each.
/// </summary>
public sealed class TrainingTrace : IDisposable
{
    /// <summary>Spans that a replica keeps if nothing else is said: some thousands of steps.</summary>
    public const int DefaultSpanCount = 1 << 16;

    private readonly Strategy _strategy;

    private TrainingTrace(Strategy strategy) => _strategy = strategy;

    /// <summary>Begins to record; every process of the job does so for its own replicas.</summary>
    /// <param name="strategy">Whose programs are recorded from now on; stays the caller's. To be called while it runs none.</param>
    /// <param name="spanCount">Spans that each replica keeps; older ones are dropped, which the trace says.</param>
    /// <exception cref="InvalidOperationException">It is being recorded already.</exception>
    public static TrainingTrace Start(Strategy strategy, int spanCount = DefaultSpanCount)
    {
        ArgumentNullException.ThrowIfNull(strategy);
        ArgumentOutOfRangeException.ThrowIfLessThan(spanCount, 1);
        if (strategy.Replicas.Any(replica => replica.Trace is not null)) throw new InvalidOperationException($"{strategy.Name} is being recorded already: dispose the trace before");
        foreach (Replica replica in strategy.Replicas) replica.Trace = new TraceRecorder(spanCount);
        return new TrainingTrace(strategy);
    }

    /// <summary>
    /// Writes the spans of all replicas of all processes so far to one file, in the first process; clocks of several hosts are aligned. Collective: every process calls it, and blocks. Where
    /// processes do not communicate (workers of a parameter server elsewhere), each writes its own as <see cref="SavePart"/> does.
    /// </summary>
    /// <param name="path">The file; compressed where it ends in <c>.gz</c>.</param>
    /// <returns>The file that this process has written; null where the first one has.</returns>
    /// <exception cref="IOException">It can't be written.</exception>
    /// <exception cref="CollectiveException">Another process failed meanwhile.</exception>
    public string? Save(string path) => Save(path, TraceClock.Own);

    /// <summary>Writes the spans of this process's replicas, by its own clock, asking nobody: what is left to do when others have failed.</summary>
    /// <param name="path">As for <see cref="Save(string)"/>; <c>.rank</c> and the first replica's number are put in before the extension.</param>
    /// <returns>The file.</returns>
    /// <exception cref="IOException">It can't be written.</exception>
    public string SavePart(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string part = PartOf(path, _strategy.Replicas[0].Index);
        Write(part, [default]);
        return part;
    }

    /// <summary>Ends recording.</summary>
    public void Dispose()
    {
        foreach (Replica replica in _strategy.Replicas) replica.Trace = null;
    }

    /// <summary>Where a process's own part of a trace goes: <c>out.rank1.json.gz</c> for <c>out.json.gz</c>.</summary>
    internal static string PartOf(string path, int rank)
    {
        string extension = path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? Path.GetExtension(path[..^3]) + path[^3..] : Path.GetExtension(path);
        return $"{path[..^extension.Length]}.rank{rank}{extension}";
    }

    internal string? Save(string path, TraceClock clock)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Replica own = _strategy.Replicas[0];
        ICommunicator communicator = own.Communicator;
        if (communicator.WorldSize == _strategy.Replicas.Count)
        {
            if (!own.IsFirst) return SavePart(path);
            Write(path, [default]);
            return path;
        }
        // On a replica's thread: what fails here wakes the others.
        _strategy.Run(replica =>
        {
            if (replica != own) return;
            ClockOffset[] clocks = clock.Align(replica.Stream, communicator);
            if (replica.IsFirst) Write(path, clocks);
            else Send(replica, clocks[communicator.Rank]);
        });
        return own.IsFirst ? path : null;
    }

    // The events of this process's replicas, and of those whose clocks are given besides.
    private void Write(string path, ClockOffset[] clocks)
    {
        using TraceFile file = new(path);
        foreach (Replica replica in _strategy.Replicas) file.Add(TraceEvents.Write(replica, clocks[0]).Span);
        for (int rank = 1; rank < clocks.Length; rank++) file.Add(Receive(_strategy.Replicas[0], rank));
        file.Finish();
    }

    // One after another, so that the first process holds one part at a time.
    private static void Send(Replica replica, ClockOffset clock)
    {
        ReadOnlyMemory<byte> events = TraceEvents.Write(replica, clock);
        int[] words = new int[(events.Length + sizeof(int) - 1) / sizeof(int)];
        events.Span.CopyTo(MemoryMarshal.AsBytes(words.AsSpan()));
        using Tensor length = Tensor.From<int>(replica.Stream, [events.Length], new Shape(1)), text = Tensor.From<int>(replica.Stream, words, new Shape(words.Length));
        replica.Communicator.Exchange(replica.Stream, PeerTransfer.Send(length, 0));
        replica.Communicator.Exchange(replica.Stream, PeerTransfer.Send(text, 0));
    }

    private static byte[] Receive(Replica replica, int rank)
    {
        using Tensor length = Tensor.Zeros(replica.Stream, new Shape(1), DType.I32);
        replica.Communicator.Exchange(replica.Stream, PeerTransfer.Receive(length, rank));
        int byteCount = length.ToArray<int>(replica.Stream)[0];
        if (byteCount < 0) throw new InvalidOperationException($"rank {rank} sends {byteCount} bytes of trace: expected 0 or more; its program is another one");
        using Tensor text = Tensor.Zeros(replica.Stream, new Shape((byteCount + sizeof(int) - 1) / sizeof(int)), DType.I32);
        replica.Communicator.Exchange(replica.Stream, PeerTransfer.Receive(text, rank));
        return MemoryMarshal.AsBytes<int>(text.ToArray<int>(replica.Stream))[..byteCount].ToArray();
    }
}
