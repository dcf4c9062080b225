using System.Net;
using System.Net.Http.Headers;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>A file on a server: makes requests for its bytes and believes no answer that contradicts the request or the answers before. Thread-safe.</summary>
internal sealed class HttpFile
{
    private readonly Uri _address;
    private readonly HttpClient _client;
    private readonly AuthenticationHeaderValue? _authorization;
    private HttpVersionTag? _version;

    internal HttpFile(Uri address, HttpSourceOptions options)
    {
        Name = NameOf(address.OriginalString);
        if (!address.IsAbsoluteUri || (address.Scheme != Uri.UriSchemeHttp && address.Scheme != Uri.UriSchemeHttps))
            throw new ArgumentException($"'{Name}' is not an http or https address", nameof(address));
        _authorization = options.Authorization ?? (address.UserInfo.Length == 0 ? null
            : new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(Uri.UnescapeDataString(address.UserInfo)))));
        // Neither does a client send user and password of an address, nor a fragment.
        _address = new UriBuilder(address) { UserName = "", Password = "", Fragment = "" }.Uri;
        _client = HttpClients.For(options);
        Options = options;
    }

    /// <summary>The address without what may be secret: user, password and query.</summary>
    internal string Name { get; }

    internal HttpSourceOptions Options { get; }

    /// <summary>What the first answer said of the file's version; null before.</summary>
    internal HttpVersionTag? Version => Volatile.Read(ref _version);

    /// <summary>An address as it may be printed.</summary>
    internal static string NameOf(string address)
    {
        int end = address.AsSpan().IndexOfAny('?', '#');
        string name = end < 0 ? address : address[..end];
        int host = name.IndexOf("://", StringComparison.Ordinal) + 3;
        if (host < 3) return name;
        int path = name.IndexOf('/', host);
        int user = name.LastIndexOf('@', path < 0 ? name.Length - 1 : path);
        return user < host ? name : name[..host] + name[(user + 1)..];
    }

    /// <summary>
    /// Asks for the bytes from <paramref name="offset"/> to before <paramref name="end"/>. The answer may be the whole file, where a server knows no ranges, or
    /// fewer bytes; none at all where the file ends at or before the offset.
    /// </summary>
    /// <exception cref="HttpFailure">The request failed, or the answer makes no sense.</exception>
    internal async Task<HttpBody> OpenAsync(long offset, long end, CancellationToken cancellation)
    {
        using HttpRequestMessage request = new(HttpMethod.Get, _address) { Version = HttpVersion.Version11, VersionPolicy = HttpVersionPolicy.RequestVersionOrLower };
        request.Headers.Range = new RangeHeaderValue(offset, end == long.MaxValue ? null : end - 1);
        request.Headers.AcceptEncoding.Add(new StringWithQualityHeaderValue("identity"));
        request.Headers.Authorization = _authorization;
        // A changed file then comes whole, as a new version with its own mark, instead of bytes of another version.
        if (Version?.StrongETag is { } mark) request.Headers.IfRange = new RangeConditionHeaderValue(mark);
        HttpResponseMessage response = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellation).ConfigureAwait(false);
        try
        {
            return await CheckAsync(response, offset, end, cancellation).ConfigureAwait(false);
        }
        catch
        {
            response.Dispose();
            throw;
        }
    }

    private async Task<HttpBody> CheckAsync(HttpResponseMessage response, long offset, long end, CancellationToken cancellation)
    {
        HttpContentHeaders headers = response.Content.Headers;
        if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable && headers.ContentRange?.Length is { } length && length <= offset)
        {
            CheckVersion(HttpVersionTag.Of(response, length), response.StatusCode);
            return new HttpBody(response, Stream.Null, offset, offset, isRange: true);
        }
        if (response.StatusCode is not (HttpStatusCode.OK or HttpStatusCode.PartialContent)) throw Refusal(response);
        if (headers.ContentEncoding.Any(encoding => !encoding.Equals("identity", StringComparison.OrdinalIgnoreCase)))
            throw new HttpFailure($"the server sends it encoded as {string.Join(", ", headers.ContentEncoding)}, though only the stored bytes were accepted", isTransient: false, response.StatusCode);
        bool isRange = response.StatusCode == HttpStatusCode.PartialContent;
        long? last = isRange ? CheckRange(headers, offset, end) : headers.ContentLength;
        CheckVersion(HttpVersionTag.Of(response, isRange ? headers.ContentRange!.Length : headers.ContentLength), response.StatusCode);
        Stream content = await response.Content.ReadAsStreamAsync(cancellation).ConfigureAwait(false);
        return new HttpBody(response, content, isRange ? offset : 0, last, isRange);
    }

    /// <summary>Where the answered range ends.</summary>
    private static long CheckRange(HttpContentHeaders headers, long offset, long end)
    {
        ContentRangeHeaderValue? range = headers.ContentRange;
        string asked = $"bytes {offset}-{(end == long.MaxValue ? "" : end - 1)}";
        if (range is null || !range.HasRange || range.Unit != "bytes") throw new HttpFailure($"asked for {asked}, the answer does not say which bytes it has", isTransient: false, HttpStatusCode.PartialContent);
        long last = range.To!.Value + 1;
        if (range.From != offset || last > end || last > range.Length)
            throw new HttpFailure($"asked for {asked}, the answer says it has {range}", isTransient: false, HttpStatusCode.PartialContent);
        if (range.Length is null) throw new HttpFailure("the server gives ranges of the file and does not say how long it is", isTransient: false, HttpStatusCode.PartialContent);
        if (headers.ContentLength is { } length && length != last - offset)
            throw new HttpFailure($"asked for {asked}, the answer says it has {range} in {length:N0} bytes", isTransient: false, HttpStatusCode.PartialContent);
        return last;
    }

    private void CheckVersion(HttpVersionTag version, HttpStatusCode status)
    {
        HttpVersionTag? first = Interlocked.CompareExchange(ref _version, version, null);
        if (first?.DifferenceTo(version) is { } difference) throw new HttpFailure($"the file was changed while it was read: {difference}; read it again from the start", isTransient: false, status);
    }

    private HttpFailure Refusal(HttpResponseMessage response)
    {
        int code = (int)response.StatusCode;
        string problem = code switch
        {
            >= 300 and < 400 => $"sent on more than {Options.MaxRedirectCount} times, or to where requests may not go",
            401 or 403 => "the server refuses access: check the authorization given in the options",
            404 or 410 => "there is no such file",
            416 => "the server refuses the range",
            _ => "the server refuses the request",
        };
        RetryConditionHeaderValue? retry = response.Headers.RetryAfter;
        TimeSpan? pause = retry?.Delta ?? (retry?.Date is { } date ? date - DateTimeOffset.UtcNow : null);
        return new HttpFailure(problem, isTransient: code is 408 or 429 or 500 or 502 or 503 or 504, response.StatusCode, pause);
    }
}
