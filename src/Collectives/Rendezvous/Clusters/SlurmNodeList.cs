using System.Globalization;

namespace DistTrain.Collectives;

/// <summary>Slurm's compressed lists: <c>n[1-3,7],gpu[08-10],login1</c> names hosts, <c>2(x2),1</c> counts tasks.</summary>
internal static class SlurmNodeList
{
    private const int MaxHostCount = 1 << 16, MaxLength = 1 << 20, MaxDigitCount = 9;

    /// <summary>The hosts in order. Leading zeros stay; a name may have several brackets, the last varying fastest.</summary>
    internal static IReadOnlyList<string> Expand(string variable, string text)
    {
        if (text.Length > MaxLength) throw Malformed(variable, text);
        var hosts = new List<string>();
        foreach (string item in Split(variable, text))
        {
            IReadOnlyList<string> names = ExpandItem(variable, text, item);
            if (hosts.Count + names.Count > MaxHostCount) throw TooMany(variable, text);
            hosts.AddRange(names);
        }
        return hosts;
    }

    /// <summary>Task counts, one a node: <c>2(x2),1</c> is 2, 2, 1.</summary>
    internal static IReadOnlyList<int> ExpandCounts(string variable, string text)
    {
        var counts = new List<int>();
        if (text.Length > MaxLength) throw Malformed(variable, text);
        foreach (string item in text.Split(','))
        {
            string number = item;
            int repeat = 1;
            int open = item.IndexOf("(x", StringComparison.Ordinal);
            if (open >= 0)
            {
                if (!item.EndsWith(')') || !TryNumber(item[(open + 2)..^1], out repeat) || repeat == 0) throw MalformedCounts(variable, text);
                number = item[..open];
            }
            if (!TryNumber(number, out int count) || count is 0 or > ClusterVariables.MaxCount) throw MalformedCounts(variable, text);
            if (counts.Count + repeat > MaxHostCount) throw TooMany(variable, text);
            counts.AddRange(Enumerable.Repeat(count, repeat));
        }
        return counts;
    }

    /// <summary>Splits at commas outside brackets.</summary>
    private static IEnumerable<string> Split(string variable, string text)
    {
        int start = 0;
        bool isInside = false;
        for (int i = 0; i <= text.Length; i++)
        {
            if (i == text.Length || (text[i] == ',' && !isInside))
            {
                if (i == start || isInside) throw Malformed(variable, text);
                yield return text[start..i];
                start = i + 1;
            }
            else if (text[i] is '[' or ']')
            {
                if (isInside == (text[i] == '[')) throw Malformed(variable, text);
                isInside = !isInside;
            }
        }
    }

    private static IReadOnlyList<string> ExpandItem(string variable, string text, string item)
    {
        List<string> names = [""];
        for (int at = 0; at < item.Length;)
        {
            int open = item.IndexOf('[', at);
            string literal = open < 0 ? item[at..] : item[at..open];
            if (literal.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter is not ('-' or '.' or '_'))) throw Malformed(variable, text);
            List<string> parts = [literal];
            at = item.Length;
            if (open >= 0)
            {
                int close = item.IndexOf(']', open);
                parts = [.. Numbers(variable, text, item[(open + 1)..close]).Select(number => literal + number)];
                at = close + 1;
            }
            if ((long)names.Count * parts.Count > MaxHostCount) throw TooMany(variable, text);
            names = [.. names.SelectMany(name => parts, (name, part) => name + part)];
        }
        return names;
    }

    private static List<string> Numbers(string variable, string text, string list)
    {
        var numbers = new List<string>();
        foreach (string range in list.Split(','))
        {
            string[] ends = range.Split('-');
            if (ends.Length > 2 || !TryNumber(ends[0], out int first) || !TryNumber(ends[^1], out int last) || last < first) throw Malformed(variable, text);
            if (numbers.Count + (long)last - first + 1 > MaxHostCount) throw TooMany(variable, text);
            for (int number = first; number <= last; number++) numbers.Add(number.ToString(CultureInfo.InvariantCulture).PadLeft(ends[0].Length, '0'));
        }
        return numbers;
    }

    private static bool TryNumber(string text, out int number)
    {
        number = 0;
        return text.Length <= MaxDigitCount && int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
    }

    private static ClusterEnvironmentException Malformed(string variable, string text) => new(variable, text, "host names such as n[1-3,07],gpu1");

    private static ClusterEnvironmentException MalformedCounts(string variable, string text) => new(variable, text, "task counts such as 2(x3),1");

    private static ClusterEnvironmentException TooMany(string variable, string text) => new(variable, text, $"at most {MaxHostCount:N0} nodes");
}
