namespace DistTrain.Collectives.Tests;

/// <summary>
/// A transport whose own verbs promise no order, as NCCL's: another one, which says so and counts what it is asked for. Fixed order over it has to be made of messages.
/// </summary>
internal sealed class UnorderedTransport(ITransport inner) : ITransport
{
    /// <summary>Collectives that were left to the transport's own way.</summary>
    internal List<CollectiveVerb> OwnVerbs { get; } = [];

    /// <summary>Calls of <see cref="Exchange"/>.</summary>
    internal int ExchangeCount { get; private set; }

    public string Name => "unordered";

    public int Rank => inner.Rank;

    public int WorldSize => inner.WorldSize;

    public bool IsFixedOrder => false;

    public TimeSpan Timeout
    {
        get => inner.Timeout;
        set => inner.Timeout = value;
    }

    public CollectiveException? Failure => inner.Failure;

    public void Run(in HostCall call)
    {
        OwnVerbs.Add(call.Verb);
        inner.Run(call);
    }

    public void Exchange(ReadOnlySpan<HostTransfer> transfers)
    {
        ExchangeCount++;
        inner.Exchange(transfers);
    }

    public ITransport? Split(int color, int key) => inner.Split(color, key) is { } part ? new UnorderedTransport(part) : null;

    public nint Allocate(long byteCount) => inner.Allocate(byteCount);

    public void Free(nint memory) => inner.Free(memory);

    public void Abort(string reason) => inner.Abort(reason);

    public IReadOnlyList<FlightRecord> FlightRecords(int rank) => inner.FlightRecords(rank);

    public void Hold() => inner.Hold();

    public void Release() => inner.Release();

    public void Dispose() => inner.Dispose();
}
