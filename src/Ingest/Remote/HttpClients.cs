using System.Collections.Concurrent;
using System.Net;

namespace DistTrain.Ingest;

/// <summary>The clients that sources share, so that they share connections: one for each pair of limits that a client's handler fixes.</summary>
internal static class HttpClients
{
    private static readonly ConcurrentDictionary<(TimeSpan Connect, int Redirects), HttpClient> s_clients = [];

    internal static HttpClient For(HttpSourceOptions options) => options.Client ?? s_clients.GetOrAdd((options.ConnectTimeout, options.MaxRedirectCount), static limits => Create(limits.Connect, limits.Redirects));

    private static HttpClient Create(TimeSpan connectTimeout, int maxRedirectCount) => new(new SocketsHttpHandler
    {
        ConnectTimeout = connectTimeout,
        AllowAutoRedirect = maxRedirectCount > 0,
        MaxAutomaticRedirections = Math.Max(1, maxRedirectCount),
        // What is stored is what is read: offsets count the file's own bytes.
        AutomaticDecompression = DecompressionMethods.None,
        UseCookies = false,
        // Names of large stores point at many machines, now these, now those.
        PooledConnectionLifetime = TimeSpan.FromMinutes(5),
        // The rest of an answer that nobody wants any more is not worth waiting for.
        MaxResponseDrainSize = 64 << 10,
        ResponseDrainTimeout = TimeSpan.FromMilliseconds(200),
    })
    {
        // Each request has timeouts of its own.
        Timeout = Timeout.InfiniteTimeSpan,
    };
}
