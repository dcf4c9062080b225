using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Security.Cryptography;
using System.Text;

namespace DistTrain.Collectives;

/// <summary>
/// A process' way to its job's <see cref="TcpStoreServer"/>. A connection that is cut is made again within the timeout of the call that needs it, and each change is made exactly once. If another
/// server answers then, the keys are gone: whoever had written some gets an error, whoever had only read or waited goes on with the new one.
/// </summary>
public sealed class TcpStoreClient : IRendezvousStore
{
    private readonly TcpStoreRequester _requester;
    private readonly TcpStoreClientOptions _options;

    private TcpStoreClient(string host, int port, byte[] jobId, JobSecret secret, TcpStoreClientOptions options)
    {
        _options = options;
        string address = IPAddress.TryParse(host, out IPAddress? literal) ? new IPEndPoint(literal, port).ToString() : $"{host}:{port}";
        Description = $"TCP store {address}";
        byte[] session = RandomNumberGenerator.GetBytes(TcpStoreProtocol.IdByteCount);
        var greeting = new TcpStoreGreeting(Description, jobId, secret, session);
        _requester = new TcpStoreRequester(Description, new TcpStoreDialer(host, port, Description, greeting, options.TryTimeout), options.RequestTimeout);
    }

    /// <inheritdoc/>
    public string Description { get; }

    /// <summary>Connects, with as many tries as the timeout allows: the server may not run yet.</summary>
    /// <param name="host">The server's host name or address.</param>
    /// <param name="port">Its port.</param>
    /// <param name="jobId">The job; the server's must be the same.</param>
    /// <param name="secret">The job's secret.</param>
    /// <param name="options">How long to wait.</param>
    /// <param name="cancellationToken">Ends the tries.</param>
    /// <exception cref="RendezvousTimeoutException">There is no connection; the message says what was tried and what the last error was.</exception>
    /// <exception cref="RendezvousRefusedException">What answers is another job's store, or none.</exception>
    /// <exception cref="OperationCanceledException">The token ended the tries.</exception>
    public static TcpStoreClient Connect(
        string host, int port, string jobId, JobSecret secret, TcpStoreClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(host);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(port);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(port, IPEndPoint.MaxPort);
        ArgumentNullException.ThrowIfNull(secret);
        options ??= new TcpStoreClientOptions();
        options.Check();
        var client = new TcpStoreClient(host, port, TcpStoreProtocol.EncodeJobId(jobId), secret, options);
        try
        {
            client._requester.Connect(new Deadline(options.ConnectTimeout, cancellationToken));
            return client;
        }
        catch
        {
            client.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Set(string key, ReadOnlySpan<byte> value)
    {
        byte[] encoded = RendezvousLimits.Encode(key);
        RendezvousLimits.CheckValue(key, value);
        _requester.Change(StoreVerb.Set, encoded, value);
    }

    /// <inheritdoc/>
    public byte[] Get(string key, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        byte[] encoded = RendezvousLimits.Encode(key);
        RendezvousLimits.CheckTimeout(timeout);
        return _requester.Await(StoreVerb.Get, [encoded], new Deadline(timeout, cancellationToken)) is { Missing: false } result
            ? result.Body
            : throw StoreTimeouts.Keys(Description, timeout, [key]);
    }

    /// <inheritdoc/>
    public bool TryGet(string key, [NotNullWhen(true)] out byte[]? value)
    {
        byte[] answer = _requester.Ask(StoreVerb.TryGet, RendezvousLimits.Encode(key));
        value = answer is [1, ..] ? answer[1..] : null;
        return value is not null;
    }

    /// <inheritdoc/>
    public long Add(string key, long amount) =>
        BinaryPrimitives.ReadInt64LittleEndian(_requester.Change(StoreVerb.Add, RendezvousLimits.Encode(key), StoreTable.WriteCounter(amount)));

    /// <inheritdoc/>
    public bool CompareExchange(string key, byte[]? expected, ReadOnlySpan<byte> value)
    {
        byte[] encoded = RendezvousLimits.Encode(key);
        RendezvousLimits.CheckValue(key, value);
        // Nothing longer can be stored: it isn't what is there.
        if (expected?.Length > RendezvousLimits.MaxValueByteCount) return false;
        return _requester.Change(StoreVerb.CompareExchange, encoded, StoreRequest.EncodeExchange(expected, value)) is [1];
    }

    /// <inheritdoc/>
    public void Wait(IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        RendezvousLimits.CheckTimeout(timeout);
        string[] distinct = [.. keys.Distinct(StringComparer.Ordinal)];
        byte[][] encoded = [.. distinct.Select(RendezvousLimits.Encode)];
        var deadline = new Deadline(timeout, cancellationToken);
        var missing = new List<string>();
        // As many at a time as fit into a request even if all are of the longest.
        const int BatchCount = RendezvousLimits.MaxValueByteCount / (RendezvousLimits.MaxKeyByteCount + sizeof(ushort));
        for (int first = 0; first < encoded.Length; first += BatchCount)
        {
            (bool isMissing, byte[] numbers) = _requester.Await(StoreVerb.Wait, encoded[first..int.Min(first + BatchCount, encoded.Length)], deadline);
            if (!isMissing) continue;
            for (int i = 0; i + 1 < numbers.Length; i += sizeof(ushort)) missing.Add(distinct[first + BinaryPrimitives.ReadUInt16LittleEndian(numbers.AsSpan(i))]);
        }
        if (missing.Count > 0) throw StoreTimeouts.Keys(Description, timeout, missing);
    }

    /// <inheritdoc/>
    public bool Delete(string key) => _requester.Change(StoreVerb.Delete, RendezvousLimits.Encode(key), []) is [1];

    /// <summary>Leaves: the server forgets this client at once. Calls under way end with <see cref="ObjectDisposedException"/>.</summary>
    public void Dispose() => _requester.Dispose();
}
