using System.Globalization;

namespace DistTrain.Ingest;

/// <summary>
/// Expands braces in file names as the shells and WebDataset do: <c>{train,test}</c> to each alternative, <c>{000000..000127}</c> to each number with the
/// digits of the longer end kept, <c>{0..9..3}</c> in steps; nested and side by side. A brace with neither a comma nor a range stays as it is.
/// </summary>
internal static class BraceExpansion
{
    // A million shards is more than any data set has; two such ranges side by side are a slip of the keyboard.
    private const int MaxCount = 1_000_000;

    /// <summary>All names in the order they are written.</summary>
    /// <exception cref="ArgumentException">More than a million.</exception>
    internal static List<string> Expand(string pattern)
    {
        List<string> names = [];
        Expand("", pattern, pattern, names);
        return names;
    }

    private static void Expand(string done, string rest, string whole, List<string> names)
    {
        if (!FindGroup(rest, out int open, out int close, out List<string> alternatives))
        {
            if (names.Count == MaxCount) throw new ArgumentException($"the pattern '{ByteSource.NameOf(whole)}' stands for more than {MaxCount:N0} files");
            names.Add(done + rest);
            return;
        }
        foreach (string alternative in alternatives) Expand(done + rest[..open], alternative + rest[(close + 1)..], whole, names);
    }

    // The first brace that is a list or a range. Alternatives may hold braces themselves: they are expanded next.
    private static bool FindGroup(string text, out int open, out int close, out List<string> alternatives)
    {
        alternatives = [];
        for (open = text.IndexOf('{'); open >= 0; open = text.IndexOf('{', open + 1))
        {
            if (!Split(text, open, out close, alternatives)) continue;
            if (alternatives.Count > 1 || TryRange(alternatives[0], alternatives)) return true;
        }
        close = -1;
        return false;
    }

    private static bool Split(string text, int open, out int close, List<string> alternatives)
    {
        alternatives.Clear();
        int depth = 0, start = open + 1;
        for (close = start; close < text.Length; close++)
        {
            char c = text[close];
            if (c == '{') depth++;
            if (depth == 0 && (c is ',' or '}'))
            {
                alternatives.Add(text[start..close]);
                start = close + 1;
                if (c == '}') return true;
            }
            else if (c == '}')
            {
                depth--;
            }
        }
        return false;
    }

    // "000..127" or "0..9..3", downwards too. Replaces the only alternative by the numbers.
    private static bool TryRange(string text, List<string> numbers)
    {
        string[] parts = text.Split("..");
        long step = 1;
        if (parts.Length is not (2 or 3) || !TryNumber(parts[0], out long first) || !TryNumber(parts[1], out long last)) return false;
        if (parts.Length == 3 && (!TryNumber(parts[2], out step) || step <= 0)) return false;
        if (Math.Abs(last - first) / step >= MaxCount) throw new ArgumentException($"the range '{{{text}}}' stands for more than {MaxCount:N0} files");
        int width = IsPadded(parts[0]) || IsPadded(parts[1]) ? Math.Max(parts[0].Length, parts[1].Length) : 0;
        numbers.Clear();
        long direction = first <= last ? step : -step;
        for (long number = first; direction > 0 ? number <= last : number >= last; number += direction)
            numbers.Add(number.ToString(CultureInfo.InvariantCulture).PadLeft(width, '0'));
        return true;
    }

    private static bool IsPadded(string digits) => digits.Length > 1 && digits[0] == '0';

    // Eighteen digits fit: differences of two such numbers don't overflow.
    private static bool TryNumber(string digits, out long value)
    {
        value = 0;
        return digits.Length <= 18 && long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out value);
    }
}
