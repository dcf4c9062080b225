using DistTrain.RemoteStorage;

namespace DistTrain.Ingest.Tests;

/// <summary>What the tests of HTTP sources share: a server, data, and options that don't make tests wait.</summary>
public abstract class HttpReading : IAsyncLifetime
{
    // Its own, so that a proxy in the environment does not matter.
    private static readonly HttpClient s_client = new(new SocketsHttpHandler { UseProxy = false, MaxAutomaticRedirections = 5, ConnectTimeout = TimeSpan.FromSeconds(10) }) { Timeout = Timeout.InfiniteTimeSpan };

    protected static HttpSourceOptions Quick { get; } = new()
    {
        PartByteCount = 10_000,
        PartCount = 3,
        MaxAttemptCount = 3,
        FirstRetryDelay = TimeSpan.FromMilliseconds(1),
        MaxRetryDelay = TimeSpan.FromMilliseconds(3),
        Client = s_client,
    };

    protected StorageServer Server { get; private set; } = null!;

    public async ValueTask InitializeAsync() => Server = await StorageServer.StartAsync();

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await Server.DisposeAsync();
    }

    protected static HttpSourceOptions QuickWith(TimeSpan? firstByte = null, TimeSpan? idle = null, System.Net.Http.Headers.AuthenticationHeaderValue? authorization = null) => new()
    {
        PartByteCount = Quick.PartByteCount,
        PartCount = Quick.PartCount,
        MaxAttemptCount = Quick.MaxAttemptCount,
        FirstRetryDelay = Quick.FirstRetryDelay,
        MaxRetryDelay = Quick.MaxRetryDelay,
        Client = s_client,
        FirstByteTimeout = firstByte ?? Quick.FirstByteTimeout,
        IdleTimeout = idle ?? Quick.IdleTimeout,
        Authorization = authorization,
    };

    protected static byte[] Bytes(int count, int seed = 1)
    {
        byte[] bytes = new byte[count];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    /// <summary>A source of a file of its own.</summary>
    protected HttpByteSource Source(StoredFile file, HttpSourceOptions? options = null, string name = "data.bin") => new(Server.Put(name, file), options ?? Quick);

    /// <summary>Reads on from a place to the end, in pieces of up to so many bytes.</summary>
    protected static byte[] ReadAll(HttpByteSource source, int pieceByteCount = 4096, long offset = 0)
    {
        using MemoryStream all = new();
        byte[] piece = new byte[pieceByteCount];
        for (int read; (read = source.Read(offset, piece, TestContext.Current.CancellationToken)) > 0; offset += read) all.Write(piece, 0, read);
        return all.ToArray();
    }

    protected static byte[] ReadExactly(HttpByteSource source, long offset, int count)
    {
        byte[] bytes = new byte[count];
        for (int done = 0, read; done < count; done += read)
        {
            read = source.Read(offset + done, bytes.AsSpan(done), TestContext.Current.CancellationToken);
            Assert.True(read > 0, $"the file ended at byte {offset + done}");
        }
        return bytes;
    }

    protected static void WaitUntil(Func<bool> condition) => Assert.True(SpinWait.SpinUntil(condition, TimeSpan.FromSeconds(30)), "it did not happen");

    /// <summary>Buffers go back when the last transfer has noticed that it was stopped.</summary>
    protected static void AssertHoldsNothing(HttpByteSource source) => WaitUntil(() => source.HeldByteCount == 0);
}
