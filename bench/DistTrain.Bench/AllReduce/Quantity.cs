using System.Globalization;

namespace DistTrain.Bench;

/// <summary>Sizes, times and rates as options give them and tables show them.</summary>
public static class Quantity
{
    private const string Units = "KMG";

    /// <summary>Bytes: a whole number, with K, M or G for powers of 1024 (a B behind it is ignored).</summary>
    /// <exception cref="UsageException">Something else.</exception>
    public static long Bytes(string option, string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string digits = text.Trim().ToUpperInvariant();
        if (digits.EndsWith('B')) digits = digits[..^1].TrimEnd('I');
        int power = digits.Length == 0 ? -1 : Units.IndexOf(digits[^1], StringComparison.Ordinal);
        if (power >= 0) digits = digits[..^1];
        if (long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out long number) && number > 0 && number <= long.MaxValue >> (10 * (power + 1))) return number << (10 * (power + 1));
        throw new UsageException($"{option}: expected bytes as 1024, 64K, 4M or 1G, found '{text}'");
    }

    /// <summary>Seconds: a number, with ns, us or ms behind it.</summary>
    /// <exception cref="UsageException">Something else, or below 0.</exception>
    public static double Seconds(string option, string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string digits = text.Trim();
        double unit = 1;
        foreach ((string suffix, double value) in new[] { ("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0) })
        {
            if (!digits.EndsWith(suffix, StringComparison.Ordinal)) continue;
            (digits, unit) = (digits[..^suffix.Length], value);
            break;
        }
        return Number(digits) is { } number ? number * unit : throw new UsageException($"{option}: expected a time as 5e-6, 5us or 800ns, found '{text}'");
    }

    /// <summary>Seconds a byte: a number, or a rate in GB/s.</summary>
    /// <exception cref="UsageException">Something else, or below 0.</exception>
    public static double SecondsPerByte(string option, string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        const string Rate = "GB/s";
        bool isRate = text.EndsWith(Rate, StringComparison.OrdinalIgnoreCase);
        double? number = Number(isRate ? text[..^Rate.Length] : text);
        if (number is { } value && !(isRate && value == 0)) return isRate ? 1e-9 / value : value;
        throw new UsageException($"{option}: expected seconds a byte as 1e-9, or a rate as 12.5GB/s, found '{text}'");
    }

    /// <summary>Numbers of ranks: <c>8..65536</c> (doubled from the first on, the last always among them) or one number.</summary>
    /// <exception cref="UsageException">Something else.</exception>
    public static IReadOnlyList<int> Ranks(string option, string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        const int Most = 1 << 24;
        string[] ends = text.Split("..");
        if (ends.Length > 2 || !int.TryParse(ends[0], NumberStyles.None, CultureInfo.InvariantCulture, out int first)
            || !int.TryParse(ends[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int last) || first < 2 || last < first || last > Most)
            throw new UsageException($"{option}: expected numbers of ranks from 2 to {Most} as 8..65536, found '{text}'");
        List<int> ranks = [];
        for (long count = first; count < last; count *= 2) ranks.Add((int)count);
        return [.. ranks, last];
    }

    /// <summary>For people: <c>25 MiB</c>, or plain bytes where it is no round number of anything.</summary>
    public static string Show(long bytes) => bytes >= 1 << 30 && bytes % (1 << 30) == 0 ? $"{bytes >> 30} GiB"
        : bytes >= 1 << 20 && bytes % (1 << 20) == 0 ? $"{bytes >> 20} MiB"
        : bytes >= 1 << 10 && bytes % (1 << 10) == 0 ? $"{bytes >> 10} KiB" : $"{bytes} B";

    private static double? Number(string text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent, CultureInfo.InvariantCulture, out double number) && double.IsFinite(number) && number >= 0 ? number : null;
}
