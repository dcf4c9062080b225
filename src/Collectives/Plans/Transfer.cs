namespace DistTrain.Collectives;

/// <summary>One message of a plan: chunks that one rank sends to another in one step.</summary>
/// <param name="From">The rank that sends.</param>
/// <param name="To">The rank that receives.</param>
/// <param name="FirstChunk">The first chunk sent.</param>
/// <param name="ChunkCount">How many chunks, consecutive.</param>
/// <param name="Reduces">Whether what comes is added to what the receiver has, or takes its place.</param>
/// <param name="IsLeftOperand">Where the order of additions counts: whether what comes stands left of what the receiver has.</param>
public readonly record struct Transfer(int From, int To, int FirstChunk, int ChunkCount, bool Reduces, bool IsLeftOperand = false)
{
    /// <summary>For people: <c>2->3 [4..6) add</c>.</summary>
    public override string ToString() => $"{From}->{To} [{FirstChunk}..{FirstChunk + ChunkCount}) {(Reduces ? "add" : "copy")}";
}
