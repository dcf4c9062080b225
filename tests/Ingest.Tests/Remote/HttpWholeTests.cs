using DistTrain.RemoteStorage;

namespace DistTrain.Ingest.Tests;

/// <summary>Servers that know no range requests: files can be read forward, once.</summary>
public sealed class HttpWholeTests : HttpReading
{
    [Theory]
    [InlineData(0, true)]
    [InlineData(0, false)]
    [InlineData(10_000, true)]
    [InlineData(123_457, true)]
    [InlineData(123_457, false)]
    public void The_whole_file_comes_in_one_request(int byteCount, bool hasLength)
    {
        StoredFile file = new(Bytes(byteCount)) { HasRanges = false, HasLength = hasLength };
        HttpByteSource source = Source(file);
        using (source)
        {
            Assert.Equal(file.Content, ReadAll(source));
            Assert.Equal(byteCount, source.GetLength());
        }

        Assert.Equal(1, file.RequestCount);
        AssertHoldsNothing(source);
    }

    [Fact]
    public void The_length_is_unknown_before_the_end_where_the_server_does_not_say_it()
    {
        using HttpByteSource source = Source(new StoredFile(Bytes(100_000)) { HasRanges = false, HasLength = false });

        Assert.Null(source.GetLength());
        Assert.Equal(100_000, ReadAll(source).Length);
    }

    [Fact]
    public void Bytes_ahead_can_be_reached_by_letting_those_before_pass_and_bytes_behind_can_not()
    {
        StoredFile file = new(Bytes(123_457)) { HasRanges = false };
        using HttpByteSource source = Source(file);

        Assert.Equal(file.Content[77_777..], ReadAll(source, offset: 77_777));
        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => source.Read(10, new byte[1], default));
        Assert.Contains("there is no way back", failure.Message, StringComparison.Ordinal);
        Assert.Equal(1, file.RequestCount);
    }

    [Fact]
    public void No_more_than_the_parts_are_held_however_slow_the_reader()
    {
        StoredFile file = new(Bytes(200_000)) { HasRanges = false };
        using HttpByteSource source = Source(file);
        ReadExactly(source, 0, 1);
        WaitUntil(() => source.HeldByteCount == 30_000);

        for (int offset = 1; offset + 1_000 < 200_000; offset += 1_000)
        {
            Assert.Equal(file.Content[offset..(offset + 1_000)], ReadExactly(source, offset, 1_000));
            Assert.InRange(source.HeldByteCount, 0, 30_000);
        }
    }

    [Theory]
    [InlineData("etag")]
    [InlineData("date")]
    public void A_lost_connection_is_taken_up_by_reading_again_if_the_version_is_marked(string mark)
    {
        StoredFile file = new(Bytes(100_000))
        {
            HasRanges = false,
            ETag = mark == "etag" ? "\"1\"" : null,
            LastModified = mark == "date" ? DateTimeOffset.UnixEpoch : null,
            Faults = request => request.Number <= 2 ? new Fault { ResetAfter = 30_000 * request.Number } : null,
        };
        using HttpByteSource source = Source(file);

        Assert.Equal(file.Content, ReadAll(source));
        Assert.Equal(3, file.RequestCount);
    }

    [Fact]
    public void A_lost_connection_is_an_error_if_no_version_is_marked()
    {
        StoredFile file = new(Bytes(100_000)) { HasRanges = false, ETag = null, Faults = _ => new Fault { ResetAfter = 30_000 } };
        using HttpByteSource source = Source(file);

        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => ReadAll(source));
        Assert.Contains("marks no versions", failure.Message, StringComparison.Ordinal);
        Assert.InRange(failure.Offset, 0, 30_000);
    }

    [Fact]
    public void A_connection_lost_at_the_same_byte_each_time_is_an_error_in_the_end()
    {
        StoredFile file = new(Bytes(200_000)) { HasRanges = false, Faults = _ => new Fault { ResetAfter = 150_000 } };
        using HttpByteSource source = Source(file);

        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => ReadAll(source));
        Assert.Equal(3, failure.AttemptCount);
    }

    [Fact]
    public void A_file_that_is_changed_between_two_requests_is_an_error()
    {
        StoredFile file = new(Bytes(100_000)) { HasRanges = false };
        file.Faults = request =>
        {
            file.ETag = $"\"{request.Number}\"";
            return request.Number == 1 ? new Fault { ResetAfter = 30_000 } : null;
        };
        using HttpByteSource source = Source(file);

        RemoteReadException failure = Assert.Throws<RemoteReadException>(() => ReadAll(source));
        Assert.Contains("its ETag was \"1\", now it is \"2\"", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_stalled_file_ends_when_cancelled_and_gives_all_back_when_disposed()
    {
        HttpByteSource source = Source(new StoredFile(Bytes(100_000)) { HasRanges = false, Faults = _ => new Fault { StallAfter = 5_000 } });
        ReadExactly(source, 0, 5_000);
        using CancellationTokenSource cancellation = new();
        cancellation.CancelAfter(20);

        Assert.ThrowsAny<OperationCanceledException>(() => source.Read(5_000, new byte[1], cancellation.Token));
        using Timer timer = new(_ => source.Dispose(), null, 20, Timeout.Infinite);
        Assert.Throws<ObjectDisposedException>(() => source.Read(5_000, new byte[1], default));
        AssertHoldsNothing(source);
    }
}
