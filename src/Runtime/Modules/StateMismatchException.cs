namespace DistTrain.Runtime;

/// <summary>Saved state does not fit a model or optimizer. Holds every disagreement, the message the first few of each kind.</summary>
public sealed class StateMismatchException : Exception
{
    private const int NamesShown = 5;

    /// <param name="missing">Names that are needed and not there.</param>
    /// <param name="unexpected">Names that are there and belong to nothing.</param>
    /// <param name="mismatched">Names with what was found and what was expected.</param>
    public StateMismatchException(IReadOnlyList<string> missing, IReadOnlyList<string> unexpected, IReadOnlyList<string> mismatched)
        : this("", missing, unexpected, mismatched)
    {
    }

    private StateMismatchException(string place, IReadOnlyList<string> missing, IReadOnlyList<string> unexpected, IReadOnlyList<string> mismatched)
        : base($"{place}the saved state does not fit: {string.Join("; ", Parts(missing, unexpected, mismatched))}") => (Missing, Unexpected, Mismatched) = (missing, unexpected, mismatched);

    /// <summary>Names that are needed and not there.</summary>
    public IReadOnlyList<string> Missing { get; }

    /// <summary>Names that are there and belong to nothing.</summary>
    public IReadOnlyList<string> Unexpected { get; }

    /// <summary>Names with what was found and what was expected.</summary>
    public IReadOnlyList<string> Mismatched { get; }

    /// <summary>The same, and where it was found.</summary>
    internal StateMismatchException In(string place) => new($"{place}: ", Missing, Unexpected, Mismatched);

    private static IEnumerable<string> Parts(IReadOnlyList<string> missing, IReadOnlyList<string> unexpected, IReadOnlyList<string> mismatched)
    {
        if (missing.Count > 0) yield return $"{missing.Count} missing ({Some(missing)})";
        if (unexpected.Count > 0) yield return $"{unexpected.Count} unexpected ({Some(unexpected)})";
        if (mismatched.Count > 0) yield return $"{mismatched.Count} of another shape ({Some(mismatched)})";
    }

    private static string Some(IReadOnlyList<string> names) =>
        string.Join(", ", names.Take(NamesShown)) + (names.Count > NamesShown ? $" and {names.Count - NamesShown} more" : "");
}
