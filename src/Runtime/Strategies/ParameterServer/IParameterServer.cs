namespace DistTrain.Runtime;

/// <summary>One server of variables, in this process (<see cref="ParameterStore"/>) or elsewhere. Thread-safe.</summary>
public interface IParameterServer
{
    /// <summary>Has a worker take part.</summary>
    /// <param name="worker">The worker's name, its own among all; one that comes back under the same name takes its old place.</param>
    /// <param name="layout">The variables that the worker expects on this server. The first worker's are the server's.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <exception cref="StateMismatchException">The server has other variables.</exception>
    /// <exception cref="ParameterServerException">It can't be reached, or refuses the worker.</exception>
    ValueTask<IParameterSession> OpenAsync(string worker, VariableLayout layout, CancellationToken cancellation = default);
}

/// <summary>
/// A worker's place at one server. One call at a time. Disposing it leaves: a step that was taken and not pushed is given to another worker. All waits end by the server's timeouts.
/// </summary>
public interface IParameterSession : IDisposable
{
    /// <summary>The server's variables; their elements one behind the other are the vectors of <see cref="PullAsync"/> and <see cref="PushAsync"/>.</summary>
    VariableLayout Layout { get; }

    /// <summary>Gives the variables their first values, unless they have some.</summary>
    /// <param name="values">All elements.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>Whether these were taken.</returns>
    ValueTask<bool> InitializeAsync(ReadOnlyMemory<float> values, CancellationToken cancellation = default);

    /// <summary>Takes a step to do. Waits while bounded staleness holds the worker back, and at the end for steps of others that may come back.</summary>
    /// <param name="stepCount">Steps in all, the same for every worker.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>The step's number; -1 if all are done.</returns>
    ValueTask<long> TakeStepAsync(long stepCount, CancellationToken cancellation = default);

    /// <summary>Copies the variables' values.</summary>
    /// <param name="values">For all elements.</param>
    /// <param name="newerThan">Waits for a version above this one; -1: does not wait (but for the first values).</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>Their version: updates applied so far.</returns>
    ValueTask<long> PullAsync(Memory<float> values, long newerThan = -1, CancellationToken cancellation = default);

    /// <summary>Hands gradients over. Returns when they are applied, collected or refused; never waits for other workers.</summary>
    ValueTask<PushResult> PushAsync(GradientPush push, CancellationToken cancellation = default);

    /// <summary>How the server stands.</summary>
    ValueTask<ParameterServerStatistics> ReadStatisticsAsync(CancellationToken cancellation = default);
}

/// <summary>What a worker computed.</summary>
/// <param name="Step">The step that was taken; -1: one that nobody gave out.</param>
/// <param name="BaseVersion">The version it was computed with.</param>
/// <param name="LearningRate">The rate to apply it with.</param>
/// <param name="Values">All elements: gradients of parameters, changes of state (running statistics).</param>
public readonly record struct GradientPush(long Step, long BaseVersion, float LearningRate, ReadOnlyMemory<float> Values);

/// <summary>What became of a push.</summary>
public enum PushOutcome
{
    /// <summary>The variables have a new version.</summary>
    Applied = 0,

    /// <summary>It waits for others of the same version; a later version holds it.</summary>
    Collected = 1,

    /// <summary>It is not used: somebody else did the step, or others were faster. The step, if it has to be done, is given out again.</summary>
    Dropped = 2,
}

/// <summary>The answer to a push.</summary>
/// <param name="Outcome">What became of it.</param>
/// <param name="Version">The server's version now.</param>
/// <param name="Staleness">Updates that others made between the pull and this push.</param>
public readonly record struct PushResult(PushOutcome Outcome, long Version, long Staleness);

/// <summary>How a server stands.</summary>
/// <param name="Version">Updates applied.</param>
/// <param name="StepsDone">Steps whose gradients are in the variables.</param>
/// <param name="WorkerCount">Workers that take part now.</param>
/// <param name="DroppedCount">Pushes that were not used.</param>
/// <param name="StalenessCounts">Applied pushes by their staleness; the last entry counts all from there on.</param>
/// <param name="LargestStaleness">The largest of an applied push.</param>
public sealed record ParameterServerStatistics(long Version, long StepsDone, int WorkerCount, long DroppedCount, IReadOnlyList<long> StalenessCounts, long LargestStaleness)
{
    /// <summary>Entries of <see cref="StalenessCounts"/>.</summary>
    public const int StalenessCountLength = 65;

    /// <summary>Of applied pushes, those of the last entry counted with its index.</summary>
    public double MeanStaleness => StalenessCounts.Sum() is > 0 and long all ? StalenessCounts.Select((count, staleness) => (double)count * staleness).Sum() / all : 0;
}

/// <summary>A parameter server can't be reached, does not answer in time, or refuses.</summary>
public sealed class ParameterServerException : Exception
{
    /// <param name="message">Server, worker, what failed, and what to do.</param>
    /// <param name="inner">The cause.</param>
    public ParameterServerException(string message, Exception? inner = null) : base(message, inner)
    {
    }

    /// <summary>Whether starting again can mend it: the server is away or lost what it had, or others did not come. False: it refuses, and would again.</summary>
    public bool IsRetryable { get; init; }
}
