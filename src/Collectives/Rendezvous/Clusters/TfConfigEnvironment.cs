using System.Globalization;
using System.Text.Json;

namespace DistTrain.Collectives;

/// <summary>TensorFlow's <c>TF_CONFIG</c>: a JSON object with all tasks' addresses and which one this is. The chief, if there is one, is rank 0; the workers follow.</summary>
internal static class TfConfigEnvironment
{
    private const string Name = "TF_CONFIG";
    private const int MaxLength = 1 << 20;

    internal static ClusterEnvironment? Detect(ClusterVariables set)
    {
        if (set.Text(Name) is not string text) return null;
        if (text.Length > MaxLength) throw Bad(text, $"at most {MaxLength:N0} characters");
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            return Read(document.RootElement, text);
        }
        catch (JsonException failure)
        {
            throw new ClusterEnvironmentException(Name, text, "a JSON object with 'cluster' and 'task'", failure);
        }
    }

    private static ClusterEnvironment? Read(JsonElement root, string text)
    {
        if (root.ValueKind != JsonValueKind.Object) throw Bad(text, "a JSON object with 'cluster' and 'task'");
        // A notebook's or an evaluator's configuration without a cluster describes one process.
        if (!root.TryGetProperty("cluster", out JsonElement cluster)) return null;
        if (cluster.ValueKind != JsonValueKind.Object) throw Bad(text, "'cluster' to be an object of task types");
        (string type, int index) = Task(root, text);
        string[] chiefs = [.. Hosts(cluster, "chief", text), .. Hosts(cluster, "master", text)];
        string[] workers = [.. Hosts(cluster, "worker", text)];
        if (chiefs.Length > 1) throw Bad(text, $"at most one chief, found {chiefs.Length}");
        bool isChief = type is "chief" or "master";
        if (!isChief && type != "worker") throw Bad(text, $"task.type chief, master or worker, found '{type}'; parameter servers and evaluators take no part in all-reduce");
        int count = isChief ? chiefs.Length : workers.Length;
        if (index >= count) throw Bad(text, $"task.index {index} to be less than the {count} tasks of cluster.{type}");
        string[] all = [.. chiefs, .. workers];
        int rank = isChief ? index : chiefs.Length + index;
        (string host, int? port) = Address(all[0], text);
        return new ClusterEnvironment
        {
            Engine = ClusterEngine.TfConfig,
            Rank = rank,
            WorldSize = all.Length,
            LocalRank = all.Take(rank).Count(other => Address(other, text).Host == Address(all[rank], text).Host),
            LocalWorldSize = all.Count(other => Address(other, text).Host == Address(all[rank], text).Host),
            MasterAddress = host,
            MasterPort = port,
            Reason = $"TF_CONFIG: task {type} {index} is rank {rank} of {all.Length} ({chiefs.Length} chief, {workers.Length} worker(s))",
        };
    }

    private static (string Type, int Index) Task(JsonElement root, string text)
    {
        const string Expected = "'task' to be an object with 'type' (text) and 'index' (a whole number from 0)";
        if (!root.TryGetProperty("task", out JsonElement task) || task.ValueKind != JsonValueKind.Object) throw Bad(text, Expected);
        if (!task.TryGetProperty("type", out JsonElement type) || type.ValueKind != JsonValueKind.String) throw Bad(text, Expected);
        if (!task.TryGetProperty("index", out JsonElement number)) throw Bad(text, Expected);
        // Some write the index as text.
        string digits = number.ValueKind == JsonValueKind.String ? number.GetString()! : number.GetRawText();
        return int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int index) ? (type.GetString()!, index) : throw Bad(text, Expected);
    }

    private static IEnumerable<string> Hosts(JsonElement cluster, string type, string text)
    {
        if (!cluster.TryGetProperty(type, out JsonElement hosts)) return [];
        if (hosts.ValueKind != JsonValueKind.Array || hosts.GetArrayLength() > ClusterVariables.MaxCount || hosts.EnumerateArray().Any(host => host.ValueKind != JsonValueKind.String))
            throw Bad(text, $"cluster.{type} to be a list of HOST:PORT");
        return [.. hosts.EnumerateArray().Select(host => host.GetString()!)];
    }

    private static (string Host, int? Port) Address(string address, string text)
    {
        int colon = address.LastIndexOf(':');
        if (colon < 0 && address.Length > 0) return (address, null);
        bool isPort = int.TryParse(address.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out int port) && port is >= 1 and <= ClusterVariables.MaxPort;
        return colon > 0 && isPort ? (address[..colon], port) : throw Bad(text, $"addresses as HOST:PORT, found '{(address.Length > 80 ? address[..80] : address)}'");
    }

    private static ClusterEnvironmentException Bad(string text, string expected) => new(Name, text, expected);
}
