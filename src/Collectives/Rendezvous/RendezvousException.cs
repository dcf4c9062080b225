namespace DistTrain.Collectives;

/// <summary>The processes of a job could not meet: the store can't be reached, refused, was damaged, or the call is impossible on what it holds.</summary>
public class RendezvousException : CollectiveException
{
    /// <summary>Makes one.</summary>
    public RendezvousException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}

/// <summary>Something awaited in the store did not come in time; the message names it.</summary>
public sealed class RendezvousTimeoutException : RendezvousException
{
    /// <summary>Makes one.</summary>
    public RendezvousTimeoutException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }

    /// <summary>The ranks that did not come, ascending; empty where no ranks were awaited.</summary>
    public IReadOnlyList<int> MissingRanks { get; init; } = [];

    /// <summary>The keys that were not set; empty where no keys were awaited or the store did not answer.</summary>
    public IReadOnlyList<string> MissingKeys { get; init; } = [];
}

/// <summary>Why a store refuses a process.</summary>
public enum RendezvousRefusal
{
    /// <summary>What is there does not speak the store's protocol.</summary>
    NotAStore,

    /// <summary>Another version of the protocol.</summary>
    Version,

    /// <summary>Another job.</summary>
    Job,

    /// <summary>Another job secret, on either side, or bytes that were changed on their way.</summary>
    Secret,

    /// <summary>The store serves as many processes as it can.</summary>
    Full,

    /// <summary>The store broke off the greeting because it took too long.</summary>
    TooSlow,
}

/// <summary>The store and this process don't belong together: another job, secret, version, or no store at all. Trying again does not help.</summary>
public sealed class RendezvousRefusedException : RendezvousException
{
    /// <summary>Makes one.</summary>
    public RendezvousRefusedException(string message, RendezvousRefusal reason, Exception? inner = null)
        : base(message, inner) => Reason = reason;

    /// <summary>Why.</summary>
    public RendezvousRefusal Reason { get; }
}
