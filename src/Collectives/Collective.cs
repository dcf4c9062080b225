using DistTrain.Kernels;

namespace DistTrain.Collectives;

/// <summary>
/// What one rank asks of a communicator: a verb with its tensors. <see cref="CommunicatorVerbs"/> has a method for each verb, which is the usual way in.
/// </summary>
/// <param name="Verb">Barrier to AllToAll; messages between two ranks are <see cref="PeerTransfer"/>s.</param>
/// <param name="Send">What is sent; null where the rank sends nothing (barrier; broadcast on other ranks than the root).</param>
/// <param name="Receive">Where the result goes; null where there is none (barrier; reduce on other ranks than the root). The same as <paramref name="Send"/>: in place.</param>
/// <param name="Op">How elements are reduced.</param>
/// <param name="Root">The root of broadcast and reduce.</param>
public readonly record struct Collective(CollectiveVerb Verb, Tensor? Send, Tensor? Receive, ReduceOp Op = ReduceOp.Sum, int Root = 0)
{
    /// <summary>The same with references of its own to the tensors' memory, which the caller may let go of then.</summary>
    internal Collective Share()
    {
        Tensor? send = Send?.Share();
        try
        {
            return this with { Send = send, Receive = Receive?.Share() };
        }
        catch
        {
            // A tensor that its role does not need was not looked at: it may be disposed.
            send?.Dispose();
            throw;
        }
    }
}
