using System.Globalization;
using System.Net;
using System.Text.Json;

namespace DistTrain.Runtime;

/// <summary>The parameter servers of TensorFlow's <c>TF_CONFIG</c>: its cluster's <c>ps</c> tasks. Chiefs and workers are workers.</summary>
internal static class TfConfigServers
{
    internal const string Name = "TF_CONFIG";
    private const int MaxLength = 1 << 20;

    /// <returns>Null: it has no parameter servers.</returns>
    /// <exception cref="FormatException">It names parameter servers and can't be read.</exception>
    internal static ParameterServerEnvironment? Detect(string text)
    {
        if (text.Length > MaxLength) throw Bad($"at most {MaxLength:N0} characters");
        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            JsonElement root = document.RootElement;
            bool hasServers = root.ValueKind == JsonValueKind.Object && root.TryGetProperty("cluster", out JsonElement cluster) && cluster.ValueKind == JsonValueKind.Object
                && cluster.TryGetProperty("ps", out JsonElement servers) && servers.ValueKind == JsonValueKind.Array && servers.GetArrayLength() > 0;
            return hasServers ? Read(root) : null;
        }
        catch (JsonException)
        {
            // Whoever reads it for its ranks says what is wrong.
            return null;
        }
    }

    private static ParameterServerEnvironment Read(JsonElement root)
    {
        string[] hosts = [.. root.GetProperty("cluster").GetProperty("ps").EnumerateArray().Select(host => host.ValueKind == JsonValueKind.String ? host.GetString()! : throw Bad("cluster.ps to be a list of HOST:PORT"))];
        IReadOnlyList<DnsEndPoint> servers = ParameterServerEnvironment.ParseServers(string.Join(',', hosts), $"{Name}, cluster.ps");
        if (!root.TryGetProperty("task", out JsonElement task) || task.ValueKind != JsonValueKind.Object || !task.TryGetProperty("type", out JsonElement type) || type.ValueKind != JsonValueKind.String)
            throw Bad("'task' to be an object with 'type' and 'index'");
        if (type.GetString() != "ps") return new ParameterServerEnvironment { IsServer = false, Servers = servers };
        // Some write the index as text.
        string digits = !task.TryGetProperty("index", out JsonElement number) ? "" : number.ValueKind == JsonValueKind.String ? number.GetString()! : number.GetRawText();
        return int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out int index) && index < servers.Count ? new ParameterServerEnvironment { IsServer = true, Servers = servers, Index = index }
            : throw Bad($"task.index from 0 to {servers.Count - 1}");
    }

    private static FormatException Bad(string expected) => new($"{Name}: expected {expected}");
}
