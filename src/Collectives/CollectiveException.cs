namespace DistTrain.Collectives;

/// <summary>
/// A communicator failed: a system call, the network, the engine, or one of the reasons that have exceptions of their own. The communicator is dead then; every further call on it throws the
/// same. Make a new one, with those who are left, to go on.
/// </summary>
public class CollectiveException : Exception
{
    /// <summary>Makes one.</summary>
    public CollectiveException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}

/// <summary>Why a peer is lost.</summary>
public enum PeerLossReason
{
    /// <summary>Not known.</summary>
    Unknown,

    /// <summary>Its process ended.</summary>
    Died,

    /// <summary>Its process is stopped (SIGSTOP, a debugger).</summary>
    Stopped,

    /// <summary>It disposed its communicator while others still needed it.</summary>
    Left,
}

/// <summary>A peer died, was stopped or left.</summary>
public sealed class CommunicatorLostException(string message) : CollectiveException(message)
{
    /// <summary>The rank that is lost; -1 if it is not known.</summary>
    public int Rank { get; init; } = -1;

    /// <summary>Its process; 0 if it is not known.</summary>
    public int ProcessId { get; init; }

    /// <summary>What happened to it.</summary>
    public PeerLossReason Reason { get; init; }

    /// <summary>The last collective it called, by number; 0: none, or not known.</summary>
    public ulong LastSequence { get; init; }

    /// <summary>What that was.</summary>
    public CollectiveVerb LastVerb { get; init; }
}

/// <summary>Some ranks did not arrive in time; the message names them and what they called last.</summary>
public sealed class CollectiveTimeoutException(string message) : CollectiveException(message)
{
    /// <summary>The rank that is late if it is a single one, else -1.</summary>
    public int Rank { get; init; } = -1;
}

/// <summary>Ranks called different collectives, or the same with different sizes, types or roots; the message names both calls. A mistake in the program.</summary>
public sealed class CollectiveMismatchException(string message) : CollectiveException(message);

/// <summary>The communicator was aborted, by this rank or another.</summary>
public sealed class CommunicatorAbortedException(string message) : CollectiveException(message);
