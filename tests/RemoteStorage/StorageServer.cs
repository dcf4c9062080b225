using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.RemoteStorage;

/// <summary>
/// A file server on the loopback that behaves like one far away: waits before the first byte, gives so many bytes a second, and fails as it is told to.
/// </summary>
public sealed class StorageServer : IAsyncDisposable
{
    private const int ChunkByteCount = 64 << 10;
    private readonly ConcurrentDictionary<string, StoredFile> _files = new(StringComparer.Ordinal);
    private readonly WebApplication _application;

    private StorageServer(X509Certificate2? certificate)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.Listen(IPAddress.Loopback, 0, listen =>
            {
                listen.Protocols = HttpProtocols.Http1;
                if (certificate is not null) listen.UseHttps(certificate);
            });
            // Slow readers are what is tested.
            kestrel.Limits.MinResponseDataRate = null;
        });
        // A stalled answer ends with the server.
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(static options => options.ShutdownTimeout = TimeSpan.FromMilliseconds(100));
        _application = builder.Build();
        _application.Run(AnswerAsync);
    }

    /// <summary>http://127.0.0.1:PORT/, or https.</summary>
    public Uri Address { get; private set; } = null!;

    /// <summary>A server that listens; with a certificate, for https.</summary>
    public static async Task<StorageServer> StartAsync(X509Certificate2? certificate = null)
    {
        StorageServer server = new(certificate);
        await server._application.StartAsync();
        string address = server._application.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        server.Address = new Uri(address);
        return server;
    }

    /// <summary>Puts a file there.</summary>
    /// <param name="name">Its path, without a slash at the start.</param>
    /// <param name="file">The file.</param>
    /// <returns>Its address.</returns>
    public string Put(string name, StoredFile file)
    {
        _files[name] = file;
        return new Uri(Address, name).ToString();
    }

    /// <summary>Stops listening and closes all connections.</summary>
    public ValueTask DisposeAsync() => _application.DisposeAsync();

    private async Task AnswerAsync(HttpContext context)
    {
        context.Features.Get<IHttpResponseBodyFeature>()!.DisableBuffering();
        if (!_files.TryGetValue(context.Request.Path.Value!.TrimStart('/'), out StoredFile? file))
        {
            context.Response.StatusCode = 404;
            return;
        }
        byte[] content = file.Content;
        file.LastAuthorization = context.Request.Headers.Authorization;
        (long offset, long end, bool isRange) = Range(context.Request, file, content.Length);
        StoredRequest request = new(file.CountRequest(), offset, end);
        Fault fault = file.Faults?.Invoke(request) ?? new Fault();
        if (file.FirstByteDelay > TimeSpan.Zero) await Task.Delay(file.FirstByteDelay, context.RequestAborted);
        WriteHeader(context.Response, file, fault, offset, end, isRange, content.Length);
        if (context.Response.StatusCode is 200 or 206) await WriteBodyAsync(context, file, fault, content.AsMemory((int)offset, (int)(end - offset)));
    }

    private static (long Offset, long End, bool IsRange) Range(HttpRequest request, StoredFile file, int length)
    {
        string? range = request.Headers.Range;
        string? condition = request.Headers.IfRange;
        if (!file.HasRanges || range is null || (condition is not null && condition != file.ETag)) return (0, length, false);
        string[] parts = range["bytes=".Length..].Split('-');
        long first = long.Parse(parts[0], CultureInfo.InvariantCulture);
        long last = parts[1].Length == 0 ? length - 1 : Math.Min(length - 1, long.Parse(parts[1], CultureInfo.InvariantCulture));
        return (first, last + 1, true);
    }

    private static void WriteHeader(HttpResponse response, StoredFile file, Fault fault, long offset, long end, bool isRange, int length)
    {
        if (file.ETag is not null) response.Headers.ETag = file.ETag;
        if (file.LastModified is { } modified) response.Headers.LastModified = modified.ToString("R", CultureInfo.InvariantCulture);
        bool isBeyond = isRange && offset >= length;
        response.StatusCode = fault.Status ?? (isBeyond ? 416 : isRange ? 206 : 200);
        if (fault.RetryAfterSeconds is { } seconds) response.Headers.RetryAfter = seconds.ToString(CultureInfo.InvariantCulture);
        if (fault.Location is not null) response.Headers.Location = fault.Location;
        if (fault.ContentEncoding is not null) response.Headers.ContentEncoding = fault.ContentEncoding;
        string? contentRange = fault.ContentRange ?? (isBeyond ? $"bytes */{length}" : isRange ? $"bytes {offset}-{end - 1}/{length}" : null);
        if (!string.IsNullOrEmpty(contentRange)) response.Headers.ContentRange = contentRange;
        if (file.HasLength && fault.EndAfter is null && response.StatusCode is 200 or 206) response.ContentLength = end - offset;
    }

    private static async Task WriteBodyAsync(HttpContext context, StoredFile file, Fault fault, ReadOnlyMemory<byte> bytes)
    {
        CancellationToken aborted = context.RequestAborted;
        if ((fault.ResetAfter ?? fault.EndAfter ?? fault.StallAfter) is { } count) bytes = bytes[..Math.Min(count, bytes.Length)];
        await context.Response.StartAsync(aborted);
        for (int start = 0; start < bytes.Length; start += ChunkByteCount)
        {
            ReadOnlyMemory<byte> chunk = bytes.Slice(start, Math.Min(ChunkByteCount, bytes.Length - start));
            if (file.Throttle is { } throttle) await throttle.PassAsync(chunk.Length, aborted);
            await context.Response.Body.WriteAsync(chunk, aborted);
        }
        await context.Response.Body.FlushAsync(aborted);
        if (fault.StallAfter is not null) await Task.Delay(Timeout.Infinite, aborted);
        if (fault.ResetAfter is not null)
        {
            // Without a moment for what was written the reset would overtake it.
            await Task.Delay(5, aborted);
            context.Abort();
        }
    }
}
