using System.Globalization;

namespace DistTrain.Collectives;

/// <summary>An environment read with types. A variable that is set to nothing counts as not set, as engines and manifests leave such behind.</summary>
internal sealed class ClusterVariables(IReadOnlyDictionary<string, string> variables)
{
    internal const int MaxPort = 65535;

    // More processes than any machine on earth runs in one job; keeps sums and products far from overflow.
    internal const int MaxCount = 1 << 20;

    internal string? Text(string name) => variables.TryGetValue(name, out string? value) && !string.IsNullOrWhiteSpace(value) ? value.Trim() : null;

    internal bool Has(string name) => Text(name) is not null;

    internal string Required(string name, string expected) => Text(name) ?? throw new ClusterEnvironmentException(name, null, expected);

    internal int Number(string name, int least, int most = MaxCount)
    {
        string expected = $"a whole number from {least} to {most}";
        string text = Required(name, expected);
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number >= least && number <= most
            ? number
            : throw new ClusterEnvironmentException(name, text, expected);
    }

    internal int? NumberIfSet(string name, int least, int most = MaxCount) => Has(name) ? Number(name, least, most) : null;

    /// <summary>A number of something that there are so many of: 0 to one less.</summary>
    internal int Index(string name, string countName, int count)
    {
        int index = Number(name, 0);
        return index < count ? index : throw new ClusterEnvironmentException(name, Text(name), $"less than {countName}={count}");
    }

    internal int? IndexIfSet(string name, string countName, int? count) => !Has(name) ? null : count is int known ? Index(name, countName, known) : Number(name, 0);

    /// <summary>A count of a part, at most the whole's.</summary>
    internal int? PartIfSet(string name, string wholeName, int whole)
    {
        int? part = NumberIfSet(name, 1);
        return part <= whole || part is null ? part : throw new ClusterEnvironmentException(name, Text(name), $"at most {wholeName}={whole}");
    }
}
