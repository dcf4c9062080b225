namespace DistTrain.Ingest;

/// <summary>
/// One part of a path with wildcards: <c>*</c> any characters, <c>?</c> one, <c>[a-z0]</c> one of a set, <c>[!a-z]</c> one outside it. Compared by code unit,
/// upper and lower case apart. A name that begins with a dot is matched only by a pattern that does too.
/// </summary>
internal static class NamePattern
{
    private static readonly System.Buffers.SearchValues<char> s_wildcards = System.Buffers.SearchValues.Create("*?[");

    internal static bool HasWildcard(ReadOnlySpan<char> text) => text.ContainsAny(s_wildcards);

    /// <summary>Whether all of <paramref name="name"/> matches. Time is at most the product of both lengths.</summary>
    internal static bool Matches(ReadOnlySpan<char> pattern, ReadOnlySpan<char> name)
    {
        if (name.StartsWith('.') && !pattern.StartsWith('.')) return false;
        int p = 0, n = 0, starPattern = -1, starName = 0;
        while (n < name.Length)
        {
            if (p < pattern.Length && pattern[p] == '*')
            {
                starPattern = ++p;
                starName = n;
            }
            else if (p < pattern.Length && MatchesOne(pattern, p, name[n], out int next))
            {
                p = next;
                n++;
            }
            else if (starPattern >= 0)
            {
                // The last star takes one character more.
                p = starPattern;
                n = ++starName;
            }
            else
            {
                return false;
            }
        }
        return pattern[p..].IndexOfAnyExcept('*') < 0;
    }

    private static bool MatchesOne(ReadOnlySpan<char> pattern, int at, char c, out int next)
    {
        next = at + 1;
        if (pattern[at] == '?') return true;
        if (pattern[at] != '[' || !TrySet(pattern, at, c, out bool isInside, out int behind)) return pattern[at] == c;
        next = behind;
        return isInside;
    }

    // A bracket without its end is an ordinary character; "]" right at the beginning belongs to the set.
    private static bool TrySet(ReadOnlySpan<char> pattern, int at, char c, out bool isInside, out int behind)
    {
        isInside = false;
        behind = at;
        int i = at + 1;
        bool isNegated = i < pattern.Length && (pattern[i] is '!' or '^');
        if (isNegated) i++;
        for (int first = i; i < pattern.Length; i++)
        {
            if (pattern[i] == ']' && i > first)
            {
                behind = i + 1;
                isInside ^= isNegated;
                return true;
            }
            char low = pattern[i], high = low;
            if (i + 2 < pattern.Length && pattern[i + 1] == '-' && pattern[i + 2] != ']') high = pattern[i += 2];
            isInside |= c >= low && c <= high;
        }
        return false;
    }
}
