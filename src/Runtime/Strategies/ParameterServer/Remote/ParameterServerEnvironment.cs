using System.Globalization;
using System.Net;

namespace DistTrain.Runtime;

/// <summary>Whether this process is a parameter server or a worker of one, by the variables that <c>disttrain launch --servers</c> sets for its processes, else by <c>TF_CONFIG</c>'s <c>ps</c> tasks. Immutable.</summary>
public sealed record ParameterServerEnvironment
{
    /// <summary>The environment variable with <c>server</c> or <c>worker</c>.</summary>
    public const string RoleVariable = "DISTTRAIN_ROLE";

    /// <summary>The environment variable with all servers, <c>HOST:PORT,HOST:PORT</c>, in the same order for everybody.</summary>
    public const string ServersVariable = "DISTTRAIN_PARAMETER_SERVERS";

    /// <summary>The environment variable with a server's number among them.</summary>
    public const string IndexVariable = "DISTTRAIN_SERVER_INDEX";

    private const int MaxServerCount = 4096;

    /// <summary>Whether it is a server.</summary>
    public required bool IsServer { get; init; }

    /// <summary>All servers.</summary>
    public required IReadOnlyList<DnsEndPoint> Servers { get; init; }

    /// <summary>Which of them this one is; 0 for workers.</summary>
    public int Index { get; init; }

    /// <summary>How often this process was started before.</summary>
    public int RestartCount { get; init; }

    /// <summary>Reads this process' environment.</summary>
    /// <returns>Null: it has no such role.</returns>
    /// <exception cref="FormatException">A variable holds something else; the message names it.</exception>
    public static ParameterServerEnvironment? Detect() => Detect(Environment.GetEnvironmentVariable);

    /// <summary>The servers as a worker reaches them.</summary>
    /// <param name="options">Security and timeouts.</param>
    public IReadOnlyList<RemoteParameterServer> Connect(RemoteParameterServerOptions options) => [.. Servers.Select(server => new RemoteParameterServer(server.Host, server.Port, options))];

    internal static ParameterServerEnvironment? Detect(Func<string, string?> find)
    {
        if (find(RoleVariable) is not { Length: > 0 } role) return find(TfConfigServers.Name) is { Length: > 0 } config ? TfConfigServers.Detect(config) : null;
        if (role is not ("server" or "worker")) throw new FormatException($"{RoleVariable}={role}: expected server or worker");
        string list = find(ServersVariable) is { Length: > 0 } text ? text : throw new FormatException($"{RoleVariable}={role} without {ServersVariable}: expected all parameter servers as HOST:PORT,HOST:PORT");
        IReadOnlyList<DnsEndPoint> servers = ParseServers(list, ServersVariable);
        bool isServer = role == "server";
        return new ParameterServerEnvironment
        {
            IsServer = isServer, Servers = servers, Index = isServer ? Number(find, IndexVariable, servers.Count - 1) : 0, RestartCount = Number(find, "TORCHELASTIC_RESTART_COUNT", int.MaxValue),
        };
    }

    /// <summary>Reads <c>HOST:PORT,HOST:PORT</c>; an IPv6 address stands in brackets.</summary>
    /// <param name="list">The list.</param>
    /// <param name="origin">Where it comes from, for the error.</param>
    /// <exception cref="FormatException">It is none.</exception>
    public static IReadOnlyList<DnsEndPoint> ParseServers(string list, string origin)
    {
        ArgumentNullException.ThrowIfNull(list);
        string[] parts = list.Split(',', StringSplitOptions.TrimEntries);
        if (parts.Length > MaxServerCount) throw new FormatException($"{origin}: {parts.Length:N0} parameter servers, at most {MaxServerCount:N0} are possible");
        return [.. parts.Select(part =>
        {
            int colon = part.LastIndexOf(':');
            string host = colon > 0 ? part[..colon].Trim('[', ']') : "";
            bool isWhole = host.Length > 0 && (part[0] == '[' || !host.Contains(':', StringComparison.Ordinal)) && ushort.TryParse(part.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out ushort port) && port > 0;
            return isWhole ? new DnsEndPoint(host, ushort.Parse(part.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture))
                : throw new FormatException($"{origin}: expected parameter servers as HOST:PORT,HOST:PORT, found '{(part.Length > 80 ? part[..80] : part)}'");
        })];
    }

    private static int Number(Func<string, string?> find, string name, int most)
    {
        if (find(name) is not { Length: > 0 } text) return 0;
        return int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number <= most ? number : throw new FormatException($"{name}={text}: expected a whole number from 0 to {most}");
    }
}
