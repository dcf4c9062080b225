namespace DistTrain.Collectives;

/// <summary>The variables that an engine set for this process contradict each other or can't be read.</summary>
public sealed class ClusterEnvironmentException : Exception
{
    internal ClusterEnvironmentException(string variable, string? value, string expected, Exception? inner = null)
        : base($"environment variable {variable}{Found(value)}: expected {expected}", inner) => Variable = variable;

    /// <summary>The variable at fault.</summary>
    public string Variable { get; }

    // Values come from outside: neither their length nor control characters belong in a message.
    private static string Found(string? value)
    {
        const int Longest = 80;
        if (value is null) return " is not set";
        string shown = string.Concat(value.Take(Longest).Select(letter => char.IsControl(letter) ? '?' : letter));
        return $"='{shown}{(value.Length > Longest ? "..." : "")}'";
    }
}
