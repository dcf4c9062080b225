using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DistTrain.Collectives;

/// <summary>
/// The file of an <see cref="AlgorithmChooser"/>:
/// <c>{"format":"disttrain-allreduce-costs","version":1,"costs":[{"algorithm":"ring","alpha":1e-6,"beta":2e-10,"gamma":0}, ...]}</c>, in seconds and seconds a byte.
/// The transport's own way is called <c>own</c>.
/// </summary>
internal static class AlgorithmCostFile
{
    private const string Format = "disttrain-allreduce-costs", Own = "own";
    private const int Version = 1, MaxByteCount = 1 << 16;

    private static readonly Dictionary<string, AllReduceAlgorithm> s_algorithms = Enum.GetValues<AllReduceAlgorithm>().ToDictionary(a => a.Name(), a => a);

    /// <summary>As options and files name it: <c>ring</c>, <c>direct</c>, <c>recursive-doubling</c>, <c>tree</c>, <c>double-tree</c>.</summary>
    internal static string Name(this AllReduceAlgorithm algorithm) => algorithm switch
    {
        AllReduceAlgorithm.RecursiveDoubling => "recursive-doubling",
        AllReduceAlgorithm.DoubleTree => "double-tree",
        _ => algorithm.ToString().ToLowerInvariant(),
    };

    internal static void Write(string path, AlgorithmChooser chooser)
    {
        ArgumentNullException.ThrowIfNull(path);
        IEnumerable<string> lines = chooser.Costs.Select(c => Line(c.Algorithm.Name(), c.Cost));
        if (chooser.Own is { } own) lines = lines.Prepend(Line(Own, own));
        File.WriteAllText(path, $$"""{"format":"{{Format}}","version":{{Version}},"costs":[""" + "\n  " + string.Join(",\n  ", lines) + "\n]}\n");
    }

    internal static AlgorithmChooser Read(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        using FileStream file = File.OpenRead(path);
        if (file.Length > MaxByteCount) throw new FormatException($"{path}: {file.Length:N0} bytes; a file of fitted costs has at most {MaxByteCount:N0}");
        JsonObject root = Parse(path, file) as JsonObject ?? throw new FormatException($"{path}: expected a JSON object of fitted costs, as `disttrain bench allreduce --fit` writes it");
        if (Text(root["format"]) is var format && format != Format) throw new FormatException($"{path}: format is {Shown(root["format"])}, expected \"{Format}\"");
        if (Number(root["version"]) is var version && version != Version) throw new FormatException($"{path}: version {Shown(root["version"])} is not known, expected {Version}; fit again with this program");
        if (root["costs"] is not JsonArray { Count: > 0 } costs) throw new FormatException($"{path}: costs is {Shown(root["costs"])}, expected an array with a cost for each algorithm");
        Dictionary<AllReduceAlgorithm, LinkCost> found = [];
        LinkCost? own = null;
        for (int i = 0; i < costs.Count; i++)
        {
            (string name, LinkCost cost) = Entry(path, i, costs[i]);
            if (name == Own ? own is not null : found.ContainsKey(s_algorithms[name])) throw new FormatException($"{path}: costs[{i}] is a second entry for {name}");
            if (name == Own) own = cost;
            else found[s_algorithms[name]] = cost;
        }
        return new AlgorithmChooser(found, own);
    }

    private static JsonNode? Parse(string path, FileStream file)
    {
        try
        {
            return JsonNode.Parse(file, documentOptions: new JsonDocumentOptions { MaxDepth = 8, AllowDuplicateProperties = false });
        }
        catch (JsonException failure)
        {
            throw new FormatException($"{path}: no JSON: {failure.Message}", failure);
        }
    }

    private static (string Name, LinkCost Cost) Entry(string path, int index, JsonNode? node)
    {
        JsonObject entry = node as JsonObject ?? throw new FormatException($"{path}: costs[{index}] is {Shown(node)}, expected an object with algorithm, alpha, beta and gamma");
        if (Text(entry["algorithm"]) is not { } name || (name != Own && !s_algorithms.ContainsKey(name)))
            throw new FormatException($"{path}: costs[{index}].algorithm is {Shown(entry["algorithm"])}, expected {Own}, {string.Join(", ", s_algorithms.Keys)}");
        double Part(string field) => Number(entry[field]) is { } part && double.IsFinite(part) && part >= 0
            ? part
            : throw new FormatException($"{path}: costs[{index}].{field} is {Shown(entry[field])}, expected seconds, from 0 on");
        return (name, new LinkCost(Part("alpha"), Part("beta"), Part("gamma")));
    }

    private static string Line(string name, LinkCost cost) =>
        string.Create(CultureInfo.InvariantCulture, $$"""{"algorithm":"{{name}}","alpha":{{cost.Alpha:R}},"beta":{{cost.Beta:R}},"gamma":{{cost.Gamma:R}}}""");

    private static string? Text(JsonNode? node) => node is JsonValue value && value.TryGetValue(out string? text) ? text : null;

    private static double? Number(JsonNode? node) => node is JsonValue value && value.GetValueKind() == JsonValueKind.Number && value.TryGetValue(out double number) ? number : null;

    private static string Shown(JsonNode? node)
    {
        const int Most = 60;
        string text = node?.ToJsonString() ?? "missing";
        return text.Length <= Most ? text : text[..Most] + "...";
    }
}
