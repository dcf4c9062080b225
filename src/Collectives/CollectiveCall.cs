using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>A call as all ranks must agree on it, and as messages and flight records name it.</summary>
/// <param name="Sequence">Which collective of its communicator, from 1 on; calls between two ranks bear the number of the collective before them.</param>
/// <param name="Verb">What is done.</param>
/// <param name="DType">Of the elements.</param>
/// <param name="Op">How they are reduced; means nothing for verbs that reduce nothing.</param>
/// <param name="Root">The root, or the peer of a call between two ranks; else 0.</param>
/// <param name="ElementCount">Elements: of the whole data in all-reduce, broadcast and reduce, of one rank's part elsewhere; bytes for memory.</param>
public readonly record struct CollectiveCall(ulong Sequence, CollectiveVerb Verb, DType DType, ReduceOp Op, int Root, long ElementCount)
{
    /// <summary>For people: <c>#12 all_reduce(f32, sum, 1000 elements)</c>, as the shim writes it.</summary>
    public override string ToString() => $"#{Sequence} {Verb.Name()}({Arguments()})";

    private string Arguments()
    {
        if (Verb is CollectiveVerb.Barrier or CollectiveVerb.Split or CollectiveVerb.None) return "";
        if (Verb is CollectiveVerb.Allocate or CollectiveVerb.Free) return $"{ElementCount} bytes";
        string type = DType.ToString().ToLowerInvariant(), op = Verb.Reduces() ? $", {Op.ToString().ToLowerInvariant()}" : "";
        string root = Verb.HasRoot() ? $", root {Root}" : Verb.IsPointToPoint() ? $", peer {Root}" : "";
        return $"{type}{op}{root}, {ElementCount} elements";
    }
}
