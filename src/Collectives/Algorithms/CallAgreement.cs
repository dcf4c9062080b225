using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// Makes sure that ranks call the same before an algorithm of our own sends anything: each compares its call with that of the rank before it in the ring, so that at least one rank sees a
/// difference, and tells all.
/// </summary>
internal sealed unsafe class CallAgreement(ITransport transport)
{
    internal const string Text = "ranks called different collectives: ";
    private const int FieldCount = 6;
    private long _sequence;

    /// <exception cref="CollectiveMismatchException">The rank before this one called something else; all ranks fail.</exception>
    internal void Check(in HostCall call)
    {
        _sequence++;
        long* own = stackalloc long[FieldCount], other = stackalloc long[FieldCount];
        (own[0], own[1], own[2], own[3], own[4], own[5]) = (_sequence, (long)call.Verb, (long)call.DType, (long)call.Op, call.Root, call.ElementCount);
        int previous = RingPlan.Previous(transport.Rank, transport.WorldSize);
        transport.Exchange(
        [
            new HostTransfer(CollectiveVerb.Send, RingPlan.Next(transport.Rank, transport.WorldSize), DType.I64, default, (nint)own, FieldCount),
            new HostTransfer(CollectiveVerb.Receive, previous, DType.I64, default, (nint)other, FieldCount),
        ]);
        if (new ReadOnlySpan<long>(own, FieldCount).SequenceEqual(new ReadOnlySpan<long>(other, FieldCount))) return;
        string text = $"{Text}rank {previous} {Describe(other)}, rank {transport.Rank} {Describe(own)}";
        transport.Abort(text);
        throw new CollectiveMismatchException(text);
    }

    private static CollectiveCall Describe(long* fields) => new((ulong)fields[0], (CollectiveVerb)fields[1], (DType)fields[2], (ReduceOp)fields[3], (int)fields[4], fields[5]);
}
