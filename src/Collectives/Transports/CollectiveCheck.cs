using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>The checks that a collective's tensors pass before anything is sent, so that a mistake of one rank harms nobody.</summary>
internal static class CollectiveCheck
{
    /// <summary>Elements as <see cref="HostCall.ElementCount"/> counts them, and the type.</summary>
    /// <exception cref="ArgumentException">Something does not fit.</exception>
    internal static (long ElementCount, DType DType) Check(in Collective c, int rank, int worldSize, ExecutionStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        // The usual call, whose cost small messages feel.
        if (c.Verb == CollectiveVerb.AllReduce && ReferenceEquals(c.Send, c.Receive) && c.Send is { } whole && whole.Device == stream.Device && (uint)c.Op <= (uint)ReduceOp.Average)
            return (whole.ElementCount, whole.DType);
        if (c.Verb is < CollectiveVerb.Barrier or > CollectiveVerb.AllToAll) throw new ArgumentException($"{c.Verb} is no collective; messages between two ranks go through Exchange");
        if (c.Verb == CollectiveVerb.Barrier) return (0, DType.F32);
        if (c.Op is < ReduceOp.Sum or > ReduceOp.Average) throw new ArgumentException($"{Name(c)}: there is no operator {(int)c.Op}");
        if (c.Verb.HasRoot() && (c.Root < 0 || c.Root >= worldSize)) throw new ArgumentException($"{Name(c)}: root {c.Root}, expected 0 to {worldSize - 1}");
        (bool sends, bool receives) = Roles(c, rank);
        if (sends) Operand(c, c.Send, "send", stream);
        if (receives) Operand(c, c.Receive, "receive", stream);
        Tensor one = (sends ? c.Send : c.Receive)!;
        // The usual call, a sum in place, is made every few hundred nanoseconds: nothing more can be wrong with it.
        if (c.Verb == CollectiveVerb.AllReduce && ReferenceEquals(c.Send, c.Receive)) return (one.ElementCount, one.DType);
        if (sends && receives) CheckPair(c, rank, worldSize);
        long parts = c.Verb == CollectiveVerb.AllToAll || (c.Verb == CollectiveVerb.ReduceScatter && sends) ? worldSize : 1;
        if (one.ElementCount % parts != 0)
            throw new ArgumentException($"{Name(c)}: {one.DType} {one.Shape} has {one.ElementCount} elements, which {worldSize} ranks can't share evenly");
        return (one.ElementCount / parts, one.DType);
    }

    /// <exception cref="ArgumentException">Something does not fit.</exception>
    internal static void Check(PeerTransfer t, int rank, int worldSize, ExecutionStream stream)
    {
        if (!t.Verb.IsPointToPoint()) throw new ArgumentException("an empty transfer; make it by PeerTransfer.Send, Receive or ReceiveReduce");
        if (t.Peer < 0 || t.Peer >= worldSize || t.Peer == rank) throw new ArgumentException($"{t.Verb.Name()}: peer {t.Peer} of rank {rank}, expected another rank of 0 to {worldSize - 1}");
        if (t.Verb == CollectiveVerb.ReceiveReduce && (!Enum.IsDefined(t.Op) || t.Op == ReduceOp.Average)) throw new ArgumentException($"{t.Verb.Name()}: operator {t.Op} is not for two; reduce by sum and divide at the end");
        ArgumentNullException.ThrowIfNull(t.Tensor);
        if (t.Tensor.Device != stream.Device) throw new ArgumentException($"{t.Verb.Name()}: the tensor {t.Tensor} does not lie on {stream.Device.Name}, the stream's device");
    }

    private static (bool Sends, bool Receives) Roles(in Collective c, int rank) => c.Verb switch
    {
        CollectiveVerb.Broadcast => (rank == c.Root, true),
        CollectiveVerb.Reduce => (true, rank == c.Root),
        _ => (true, true),
    };

    private static void Operand(in Collective c, Tensor? tensor, string name, ExecutionStream stream)
    {
        if (tensor is null) throw new ArgumentException($"{Name(c)}: {name} is null");
        if (tensor.Device != stream.Device) throw new ArgumentException($"{Name(c)}: {name} is {tensor}, the stream belongs to {stream.Device.Name}");
    }

    private static void CheckPair(in Collective c, int rank, int worldSize)
    {
        Tensor send = c.Send!, receive = c.Receive!;
        if (send.DType != receive.DType) throw new ArgumentException($"{Name(c)}: send is {send.DType}, receive is {receive.DType}; they must be equal");
        long expected = c.Verb switch
        {
            CollectiveVerb.ReduceScatter => checked(receive.ElementCount * worldSize),
            CollectiveVerb.AllGather when receive.ElementCount % worldSize != 0 => -1,
            CollectiveVerb.AllGather => receive.ElementCount / worldSize,
            _ => receive.ElementCount,
        };
        if (send.ElementCount != expected)
            throw new ArgumentException($"{Name(c)}: send has {send.ElementCount} elements, receive {receive.ElementCount}, with {worldSize} ranks; expected is {Rule(c.Verb)}");
        CheckOverlap(c, rank);
    }

    private static string Rule(CollectiveVerb verb) => verb switch
    {
        CollectiveVerb.ReduceScatter => "send = world size x receive",
        CollectiveVerb.AllGather => "receive = world size x send",
        _ => "as many in both",
    };

    // Apart, or in place at exactly the right place.
    private static void CheckOverlap(in Collective c, int rank)
    {
        Tensor send = c.Send!, receive = c.Receive!;
        if (ReferenceEquals(send, receive)) return;
        if (send.Buffer != receive.Buffer && send.Device.Kind != DeviceKind.Cpu) return;
        long from = Place(send), to = Place(receive);
        long inPlace = c.Verb switch
        {
            CollectiveVerb.ReduceScatter => from + (rank * receive.ByteCount),
            CollectiveVerb.AllGather => from - (rank * send.ByteCount),
            _ => from,
        };
        if (to == inPlace || from + send.ByteCount <= to || to + receive.ByteCount <= from) return;
        throw new ArgumentException($"{Name(c)}: send and receive overlap; they must be apart, or receive must lie where in place puts it");
    }

    private static long Place(Tensor tensor) => tensor.Device.Kind == DeviceKind.Cpu ? tensor.Pointer : tensor.OffsetByteCount;

    private static string Name(in Collective c) => c.Verb.Name();
}
