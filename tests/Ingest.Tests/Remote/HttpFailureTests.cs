using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using DistTrain.RemoteStorage;

namespace DistTrain.Ingest.Tests;

/// <summary>Servers and networks that fail: the exact bytes, or the right error.</summary>
public sealed class HttpFailureTests : HttpReading
{
    private static Fault Reset { get; } = new() { ResetAfter = 3_000 };

    [Fact]
    public void A_lost_connection_is_taken_up_where_it_broke_off()
    {
        List<StoredRequest> requests = [];
        StoredFile file = new(Bytes(9_000))
        {
            Faults = request =>
            {
                lock (requests) requests.Add(request);
                return request.Number <= 2 ? Reset : null;
            },
        };
        HttpByteSource source = Source(file);
        using (source) Assert.Equal(file.Content, ReadAll(source));

        // The end of a connection can overtake bytes that were sent before it: those are asked for again.
        Assert.Equal(3, requests.Count);
        Assert.Equal(requests.OrderBy(request => request.Offset), requests);
        Assert.All(requests, request => Assert.Equal(9_000, request.End));
        AssertHoldsNothing(source);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(9_999)]
    public void A_connection_may_be_lost_at_any_byte_of_any_part(int at)
    {
        ConcurrentDictionary<long, bool> begun = [];
        StoredFile file = new(Bytes(60_000)) { Faults = request => begun.TryAdd(request.Offset / 10_000, true) ? new Fault { ResetAfter = at } : null };
        using HttpByteSource source = Source(file);

        Assert.Equal(file.Content, ReadAll(source));
    }

    [Fact]
    public void An_answer_that_ends_early_is_completed_by_another_request()
    {
        ConcurrentQueue<long> asked = [];
        StoredFile file = new(Bytes(10_000))
        {
            Faults = request =>
            {
                asked.Enqueue(request.Offset);
                return request.Number <= 2 ? new Fault { EndAfter = 1_234 } : null;
            },
        };
        using HttpByteSource source = Source(file);

        Assert.Equal(file.Content, ReadAll(source));
        Assert.Equal([0L, 1_234L, 2_468L], asked);
    }

    [Fact]
    public void A_server_that_gives_less_than_it_is_asked_for_is_asked_for_the_rest()
    {
        byte[] content = Bytes(5_000);
        StoredFile file = new(content) { Faults = request => request.End - request.Offset > 1_000 ? new Fault { ContentRange = $"bytes {request.Offset}-{request.Offset + 999}/5000", EndAfter = 1_000 } : null };
        using HttpByteSource source = Source(file);

        Assert.Equal(content, ReadAll(source));
        Assert.Equal(5, file.RequestCount);
    }

    [Theory]
    [InlineData(408)]
    [InlineData(429)]
    [InlineData(500)]
    [InlineData(502)]
    [InlineData(503)]
    [InlineData(504)]
    public void A_busy_server_is_asked_again(int status)
    {
        StoredFile file = new(Bytes(20_000)) { Faults = request => request.Number is 1 or 2 ? new Fault { Status = status, RetryAfterSeconds = 100 } : null };
        using HttpByteSource source = Source(file);

        Assert.Equal(file.Content, ReadAll(source));
    }

    [Fact]
    public void A_server_that_stays_busy_is_an_error_with_address_place_status_and_attempts_and_the_next_read_tries_anew()
    {
        bool isBusy = false;
        StoredFile file = new(Bytes(40_000)) { Faults = request => isBusy && request.Offset >= 10_000 ? new Fault { Status = 503 } : null };
        using HttpByteSource source = Source(file, OnePart);
        ReadExactly(source, 0, 9_999);
        isBusy = true;
        ReadExactly(source, 9_999, 1);

        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => source.Read(10_000, new byte[100], default));
        Assert.Equal($"{source.Name}, byte 10000: the server refuses the request (status 503 ServiceUnavailable), after 3 attempts", failure.Message);
        Assert.Equal((source.Name, 10_000L, HttpStatusCode.ServiceUnavailable, 3), (failure.Address, failure.Offset, failure.Status, failure.AttemptCount));
        isBusy = false;
        Assert.Equal(file.Content[10_000..], ReadAll(source, offset: 10_000));
    }

    [Theory]
    [InlineData(404, "there is no such file")]
    [InlineData(410, "there is no such file")]
    [InlineData(401, "check the authorization")]
    [InlineData(403, "check the authorization")]
    [InlineData(400, "refuses the request")]
    [InlineData(416, "refuses the range")]
    public void A_refusal_is_an_error_at_once(int status, string expected)
    {
        StoredFile file = new(Bytes(100)) { Faults = _ => new Fault { Status = status } };
        using HttpByteSource source = Source(file);

        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => source.Read(0, new byte[1], default));
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
        Assert.Equal(((HttpStatusCode)status, 1), (failure.Status!.Value, failure.AttemptCount));
        Assert.Equal(1, file.RequestCount);
    }

    [Theory]
    [InlineData("bytes 1-100/101", "asked for bytes 0-9999, the answer says it has bytes 1-100/101")]
    [InlineData("bytes 0-100/100", "does not say which bytes it has")]
    [InlineData("bytes 0-99/50", "asked for bytes 0-9999, the answer")]
    [InlineData("bytes 0-98/100", "the answer says it has bytes 0-98/100 in 100 bytes")]
    [InlineData("bytes 0-99/*", "does not say how long it is")]
    [InlineData("bytes 0-20000/30000", "asked for bytes 0-9999, the answer says it has bytes 0-20000/30000")]
    [InlineData("lines 0-99/100", "does not say which bytes it has")]
    [InlineData("nonsense", "does not say which bytes it has")]
    [InlineData("", "does not say which bytes it has")]
    public void An_answer_that_contradicts_the_request_is_an_error(string contentRange, string expected)
    {
        using HttpByteSource source = Source(new StoredFile(Bytes(100)) { Faults = _ => new Fault { ContentRange = contentRange } });

        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => source.Read(0, new byte[1], default));
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_lie_about_the_files_length_allocates_no_more_than_the_parts()
    {
        using HttpByteSource source = Source(new StoredFile(Bytes(100)) { Faults = request => request.Number == 1 ? new Fault { ContentRange = "bytes 0-99/9000000000000000" } : new Fault { Status = 404 } });

        Assert.Equal(100, ReadExactly(source, 0, 100).Length);
        Assert.Throws<RemoteReadException>(() => source.Read(100, new byte[1], default));
        Assert.InRange(source.HeldByteCount, 0, 30_000);
    }

    [Theory]
    [InlineData("etag")]
    [InlineData("weak etag")]
    [InlineData("length")]
    [InlineData("date")]
    [InlineData("no ranges any more")]
    public void A_file_that_is_changed_while_it_is_read_is_an_error_and_never_a_mixture(string what)
    {
        StoredFile file = new(Bytes(200_000)) { ETag = what switch { "etag" => "\"1\"", "weak etag" => "W/\"1\"", _ => null }, LastModified = what == "date" ? DateTimeOffset.UnixEpoch : null };
        using HttpByteSource source = Source(file);
        ReadExactly(source, 0, 10_000);

        file.Content = Bytes(what == "length" ? 150_000 : 200_000, seed: 2);
        if (file.ETag is not null) file.ETag = what == "etag" ? "\"2\"" : "W/\"2\"";
        if (what == "date") file.LastModified = DateTimeOffset.UnixEpoch.AddSeconds(1);
        if (what == "no ranges any more") file.HasRanges = false;
        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => ReadAll(source, offset: 10_000));
        Assert.Contains(what == "no ranges any more" ? "now gives only the whole" : "the file was changed while it was read", failure.Message, StringComparison.Ordinal);
        Assert.True(failure.Offset >= 10_000);
    }

    [Fact]
    public void Endless_redirects_are_an_error()
    {
        StoredFile file = new(Bytes(100)) { Faults = _ => new Fault { Status = 302, Location = "/data.bin" } };
        using HttpByteSource source = Source(file);

        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => source.Read(0, new byte[1], default));
        Assert.Contains("sent on more than 5 times", failure.Message, StringComparison.Ordinal);
        Assert.Equal(6, file.RequestCount);
    }

    [Fact]
    public void A_stalled_answer_is_given_up_after_the_idle_time_and_taken_up_by_another_request()
    {
        StoredFile file = new(Bytes(30_000)) { Faults = request => request.Number == 2 ? new Fault { StallAfter = 500 } : null };
        using HttpByteSource source = Source(file, QuickWith(idle: TimeSpan.FromMilliseconds(100)));

        Assert.Equal(file.Content, ReadAll(source));
        Assert.Equal(4, file.RequestCount);
    }

    [Fact]
    public void A_server_that_stalls_each_time_or_never_answers_is_an_error()
    {
        using HttpByteSource stalled = Source(new StoredFile(Bytes(100)) { Faults = _ => new Fault { StallAfter = 0 } }, QuickWith(idle: TimeSpan.FromMilliseconds(50)));
        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => stalled.Read(0, new byte[1], default));
        Assert.Equal($"{stalled.Name}, byte 0: no byte came for 0.05 s, after 3 attempts", failure.Message);

        using HttpByteSource silent = Source(new StoredFile(Bytes(100)) { FirstByteDelay = TimeSpan.FromHours(1) }, QuickWith(firstByte: TimeSpan.FromMilliseconds(50)));
        failure = Assert.Throws<RemoteReadException>(() => silent.Read(0, new byte[1], default));
        Assert.Equal($"{silent.Name}, byte 0: no answer came within 0.05 s, after 3 attempts", failure.Message);
    }

    [Fact]
    public void Where_nobody_listens_the_error_says_so()
    {
        using Socket taken = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        taken.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        using HttpByteSource source = new($"http://{taken.LocalEndPoint}/a", Quick);

        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => source.Read(0, new byte[1], default));
        Assert.Contains("the connection failed: Connection refused", failure.Message, StringComparison.Ordinal);
        Assert.Equal((null, 3), (failure.Status, failure.AttemptCount));
        Assert.IsType<HttpRequestException>(failure.InnerException);
    }

    [Fact]
    public void An_encoded_answer_is_refused()
    {
        using HttpByteSource source = Source(new StoredFile(Bytes(100)) { Faults = _ => new Fault { ContentEncoding = "gzip" } });

        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => source.Read(0, new byte[1], default));
        Assert.Contains("encoded as gzip", failure.Message, StringComparison.Ordinal);
    }

    private static HttpSourceOptions OnePart { get; } = new()
    {
        PartByteCount = 10_000,
        PartCount = 1,
        MaxAttemptCount = 3,
        FirstRetryDelay = TimeSpan.FromMilliseconds(1),
        MaxRetryDelay = TimeSpan.FromMilliseconds(3),
        Client = Quick.Client,
    };
}
