using DistTrain.Kernels;

namespace DistTrain.Cli;

/// <summary>Values that come from a fixed list.</summary>
internal static class Choice
{
    /// <exception cref="UsageException">The value is not on the list; the message has the nearest that is.</exception>
    public static void Check(string option, string value, IReadOnlyCollection<string> known)
    {
        if (!known.Contains(value)) throw new UsageException($"{option} {value}: expected {string.Join(", ", known)}.{NearestName.Hint(value, known)}");
    }
}
