namespace DistTrain.Runtime;

/// <summary>The row of a trace that something is shown in, as a thread of the replica's process. What is in one row nests or comes one behind the other.</summary>
public enum TraceLane
{
    /// <summary>The replica's own thread: passes, updates, evaluation, and its waits for others.</summary>
    Compute = 1,

    /// <summary>Collectives that run beside it.</summary>
    Communication = 2,

    /// <summary>Waits for batches.</summary>
    Input = 3,

    /// <summary>Snapshots, and the thread that writes them.</summary>
    Checkpoint = 4,
}
