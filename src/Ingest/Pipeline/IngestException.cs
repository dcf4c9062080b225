using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// An input pipeline could not give an element: the function a user gave failed, or an operator found something it can't go on with. Says which operator,
/// which element and where the element came from; the cause is <see cref="Exception.InnerException"/>, untouched.
/// </summary>
public sealed class IngestException : Exception
{
    /// <summary>An operator failed at an element.</summary>
    /// <param name="operatorName">The operator, as it is called in the program: <c>Map</c>.</param>
    /// <param name="elementIndex">Which element, counted as <see cref="ElementContext.Index"/> does; -1 if no one element is to blame.</param>
    /// <param name="source">Where that element was read.</param>
    /// <param name="problem">What was found, what was expected, what to do.</param>
    /// <param name="innerException">The cause, if another exception told of it.</param>
    public IngestException(string operatorName, long elementIndex, SourceLocation source, string problem, Exception? innerException = null)
        : base(Describe(operatorName, elementIndex, source, problem), innerException)
    {
        Operator = operatorName;
        ElementIndex = EpochIndex.IndexOf(elementIndex);
        Origin = source;
    }

    /// <summary>The operator, as it is called in the program.</summary>
    public string Operator { get; }

    /// <summary>Which element; -1 if no one element is to blame.</summary>
    public long ElementIndex { get; }

    /// <summary>Where the element was read.</summary>
    public SourceLocation Origin { get; }

    /// <summary>Wraps what a user's function threw; what already says where it happened, and the pipeline's own cancellation, pass as they are.</summary>
    internal static Exception Wrap(string operatorName, long elementIndex, SourceLocation source, Exception thrown, CancellationToken cancellation) =>
        IsForeign(thrown, cancellation) ? new IngestException(operatorName, elementIndex, source, thrown.Message, thrown) : thrown;

    /// <summary>The same where the pipeline's cancellation is not at hand: every cancellation passes.</summary>
    internal static Exception Wrap(string operatorName, long elementIndex, SourceLocation source, Exception thrown) =>
        thrown is OperationCanceledException ? thrown : Wrap(operatorName, elementIndex, source, thrown, default);

    /// <summary>Whether an exception has to be wrapped. A function that was cancelled by others than the pipeline (a request that timed out, say) has failed like any other.</summary>
    internal static bool IsForeign(Exception thrown, CancellationToken cancellation) =>
        thrown is not IngestException && !(thrown is OperationCanceledException && cancellation.IsCancellationRequested);

    private static string Describe(string operatorName, long elementIndex, SourceLocation source, string problem)
    {
        StringBuilder text = new(operatorName);
        if (elementIndex != -1) text.Append(", element ").Append(EpochIndex.IndexOf(elementIndex));
        if (EpochIndex.HasEpoch(elementIndex)) text.Append(" of epoch ").Append(EpochIndex.EpochOf(0, elementIndex));
        if (source.File is not null) text.Append(" (").Append(source).Append(')');
        return text.Append(": ").Append(problem).ToString();
    }
}
