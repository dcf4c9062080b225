namespace DistTrain.Collectives;

/// <summary>Messages from one rank to another: posted by the sender, who then waits until they were taken out of its memory. One sender, one receiver.</summary>
internal sealed class InProcessChannel(int from, int to)
{
    private readonly Queue<HostTransfer> _posts = new(4);
    private long _posted, _taken;

    internal int From => from;

    internal int To => to;

    /// <summary>Messages posted so far.</summary>
    internal long Posted => Volatile.Read(ref _posted);

    /// <summary>Messages taken so far.</summary>
    internal long Taken => Volatile.Read(ref _taken);

    internal void Post(in HostTransfer send)
    {
        lock (_posts) _posts.Enqueue(send);
        Volatile.Write(ref _posted, _posted + 1);
    }

    /// <summary>The next message, which is there.</summary>
    internal HostTransfer Peek()
    {
        lock (_posts) return _posts.Peek();
    }

    /// <summary>The sender's memory is its own again.</summary>
    internal void Take()
    {
        lock (_posts) _posts.Dequeue();
        Volatile.Write(ref _taken, _taken + 1);
    }

    internal readonly struct HasPost(InProcessChannel channel) : IInProcessCondition
    {
        public bool IsMet => channel.Posted > channel.Taken;

        public bool NeedsMoreOf(InProcessRank rank) => rank.Rank == channel.From;
    }

    internal readonly struct IsTaken(InProcessChannel channel, long count) : IInProcessCondition
    {
        public bool IsMet => channel.Taken >= count;

        public bool NeedsMoreOf(InProcessRank rank) => rank.Rank == channel.To;
    }
}
