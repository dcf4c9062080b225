namespace DistTrain.Kernels;

/// <summary>Finds what a mistyped name probably meant.</summary>
public static class NearestName
{
    /// <summary>The candidate with the least edit distance (insert, delete, replace: 1 each; case ignored; a part of a name counts as 1), or one that begins with the name; null if none is near enough to be meant.</summary>
    public static string? Of(string name, IEnumerable<string> candidates)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(candidates);
        (string? best, int bestDistance) = (null, int.MaxValue);
        foreach (string candidate in candidates)
        {
            // A part of a name ("mnist" of "fashion-mnist") is as good as a slip of the finger.
            bool isPart = name.Length >= 3 && candidate.Contains(name, StringComparison.OrdinalIgnoreCase);
            int distance = isPart ? 1 : Distance(name, candidate);
            if (distance < bestDistance) (best, bestDistance) = (candidate, distance);
        }
        if (bestDistance <= Math.Max(2, name.Length / 2)) return best;
        // A name cut short is far by distance, yet plainly meant.
        return name.Length < 2 ? null : candidates.FirstOrDefault(candidate => candidate.StartsWith(name, StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>" Did you mean X?" or nothing: to end a message with.</summary>
    public static string Hint(string name, IEnumerable<string> candidates) => Of(name, candidates) is { } nearest ? $" Did you mean '{nearest}'?" : "";

    private static int Distance(string left, string right)
    {
        int[] row = [.. Enumerable.Range(0, right.Length + 1)];
        for (int i = 1; i <= left.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= right.Length; j++)
            {
                int replace = diagonal + (char.ToLowerInvariant(left[i - 1]) == char.ToLowerInvariant(right[j - 1]) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(replace, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[^1];
    }
}
