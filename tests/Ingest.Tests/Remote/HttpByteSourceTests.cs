using System.Collections.Concurrent;
using System.Net.Http.Headers;
using CsCheck;
using DistTrain.RemoteStorage;

namespace DistTrain.Ingest.Tests;

public sealed class HttpByteSourceTests : HttpReading
{
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(9_999)]
    [InlineData(10_000)]
    [InlineData(10_001)]
    [InlineData(123_457)]
    public void A_file_read_in_order_is_the_file_and_each_byte_is_asked_for_once(int byteCount)
    {
        StoredFile file = new(Bytes(byteCount));
        HttpByteSource source = Source(file);
        using (source) Assert.Equal(file.Content, ReadAll(source));

        Assert.Equal(Math.Max(1, (byteCount + 9_999) / 10_000), file.RequestCount);
        AssertHoldsNothing(source);
    }

    [Fact]
    public void Any_bytes_can_be_read_in_any_order()
    {
        StoredFile file = new(Bytes(50_000));
        using HttpByteSource source = Source(file);

        Gen.Select(Gen.Int[0, 49_999], Gen.Int[1, 25_000]).Sample((offset, count) =>
        {
            count = Math.Min(count, file.Content.Length - offset);
            Assert.Equal(file.Content[offset..(offset + count)], ReadExactly(source, offset, count));
        }, iter: 60, threads: 1);
    }

    [Fact]
    public void Several_threads_may_read_one_source_each_in_its_own_order()
    {
        StoredFile file = new(Bytes(200_000));
        HttpByteSource source = Source(file);
        ConcurrentQueue<string> mistakes = [];
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(number => new Thread(() =>
        {
            Random random = new(number);
            for (int turn = 0; turn < 30; turn++)
            {
                // Two walk in order and get into each other's way, two jump.
                int offset = number < 2 ? turn * 5_000 : random.Next(150_000), count = number < 2 ? 5_000 : random.Next(1, 20_000);
                if (!ReadExactly(source, offset, count).AsSpan().SequenceEqual(file.Content.AsSpan(offset, count))) mistakes.Enqueue($"thread {number}, byte {offset}");
            }
        }))];
        foreach (Thread thread in threads) thread.Start();
        foreach (Thread thread in threads) thread.Join();
        source.Dispose();

        Assert.Empty(mistakes);
        AssertHoldsNothing(source);
    }

    [Fact]
    public void Reading_that_begins_in_the_middle_goes_on_from_there()
    {
        StoredFile file = new(Bytes(45_000));
        using HttpByteSource source = Source(file);

        Assert.Equal(file.Content[17_003..], ReadAll(source, offset: 17_003));
        Assert.Equal(3, file.RequestCount);
    }

    [Fact]
    public void A_jump_asks_for_just_the_bytes_that_are_wanted_and_a_long_read_on_from_it_asks_ahead()
    {
        ConcurrentQueue<(long, long)> asked = [];
        StoredFile file = new(Bytes(100_000)) { Faults = request => Note(asked, request) };
        using HttpByteSource source = Source(file);
        ReadExactly(source, 0, 1);
        asked.Clear();

        ReadExactly(source, 70_000, 500);
        ReadExactly(source, 70_500, 5_000);
        Assert.Equal([(70_000L, 70_500L), (70_500L, 75_500L)], asked);
        Assert.Equal(file.Content[75_500..], ReadAll(source, offset: 75_500));
        Assert.Contains((75_500L, 85_500L), asked);
    }

    [Fact]
    public void No_more_than_the_given_parts_are_held_or_asked_for_however_slow_the_reader()
    {
        StoredFile file = new(Bytes(200_000));
        using HttpByteSource source = Source(file);
        ReadExactly(source, 0, 4_999);
        Assert.Equal(1, file.RequestCount);
        ReadExactly(source, 4_999, 1);
        WaitUntil(() => file.RequestCount == 3);

        for (int offset = 5_000; offset < 200_000; offset += 1_000)
        {
            ReadExactly(source, offset, Math.Min(1_000, 200_000 - offset));
            Assert.InRange(source.HeldByteCount, 0, 30_000);
            Assert.InRange(file.RequestCount, 0, 3 + (offset / 10_000) + 1);
        }
    }

    [Fact]
    public void The_length_is_known_without_reading()
    {
        using HttpByteSource source = Source(new StoredFile(Bytes(12_345)));

        Assert.Equal(12_345, source.GetLength());
        Assert.Equal(0, source.Read(12_345, new byte[1], default));
        Assert.Equal(0, source.Read(long.MaxValue, new byte[1], default));
        Assert.Equal(0, source.Read(0, [], default));
    }

    [Fact]
    public void A_first_read_beyond_the_end_finds_nothing()
    {
        using HttpByteSource source = Source(new StoredFile(Bytes(100)));

        Assert.Equal(0, source.Read(100, new byte[1], default));
        Assert.Equal(100, source.GetLength());
    }

    [Fact]
    public void Waiting_for_the_first_byte_ends_at_once_when_cancelled_and_when_disposed()
    {
        StoredFile file = new(Bytes(100)) { FirstByteDelay = TimeSpan.FromHours(1) };
        using (HttpByteSource source = Source(file))
        {
            using CancellationTokenSource cancellation = new();
            cancellation.CancelAfter(20);
            Assert.ThrowsAny<OperationCanceledException>(() => source.Read(0, new byte[1], cancellation.Token));
        }

        HttpByteSource disposed = Source(file);
        using Timer timer = new(_ => disposed.Dispose(), null, 20, Timeout.Infinite);
        Assert.Throws<ObjectDisposedException>(() => disposed.Read(0, new byte[1], default));
        Assert.Throws<ObjectDisposedException>(() => disposed.Read(0, new byte[1], default));
    }

    [Fact]
    public void Waiting_for_more_bytes_ends_at_once_when_cancelled_and_when_disposed()
    {
        StoredFile file = new(Bytes(10_000)) { Faults = _ => new Fault { StallAfter = 5_000 } };
        HttpByteSource source = Source(file);
        ReadExactly(source, 0, 5_000);
        using CancellationTokenSource cancellation = new();
        cancellation.CancelAfter(20);

        Assert.ThrowsAny<OperationCanceledException>(() => source.Read(5_000, new byte[1], cancellation.Token));
        using Timer timer = new(_ => source.Dispose(), null, 20, Timeout.Infinite);
        Assert.Throws<ObjectDisposedException>(() => source.Read(5_000, new byte[1], default));
        AssertHoldsNothing(source);
    }

    [Fact]
    public void User_and_password_of_the_address_are_sent_and_shown_nowhere()
    {
        StoredFile file = new(Bytes(10)) { Faults = _ => new Fault { Status = 403 } };
        Server.Put("data.bin", file);
        using HttpByteSource source = new($"http://me:pa%20ss@{Server.Address.Authority}/data.bin?sig=secret#x", Quick);

        RemoteReadException refused = Assert.Throws<RemoteReadException>(() => source.Read(0, new byte[1], default));
        Assert.Equal($"http://{Server.Address.Authority}/data.bin", source.Name);
        Assert.Equal($"http://{Server.Address.Authority}/data.bin, byte 0: the server refuses access: check the authorization given in the options (status 403 Forbidden)", refused.Message);
        Assert.Equal("Basic " + Convert.ToBase64String("me:pa ss"u8), file.LastAuthorization);
        ArgumentException wrong = Assert.Throws<ArgumentException>(() => new HttpByteSource("ftp://me:pass@host/x?sig=secret"));
        Assert.StartsWith("'ftp://host/x' is not an http or https address", wrong.Message, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new HttpByteSource("data/a.tfrecord"));
    }

    [Fact]
    public void The_authorization_of_the_options_is_sent_but_not_to_where_the_server_sends_on()
    {
        StoredFile target = new(Bytes(25_000));
        string elsewhere = Server.Put("elsewhere.bin", target);
        StoredFile first = new([]) { Faults = _ => new Fault { Status = 302, Location = elsewhere } };
        using HttpByteSource source = Source(first, QuickWith(authorization: new AuthenticationHeaderValue("Bearer", "token")));

        Assert.Equal(target.Content, ReadAll(source));
        Assert.Equal("Bearer token", first.LastAuthorization);
        Assert.Null(target.LastAuthorization);
    }

    [Theory]
    [InlineData(1, 100, 200)]
    [InlineData(2, 200, 400)]
    [InlineData(4, 500, 1_000)]
    [InlineData(60, 500, 1_000)]
    public void Pauses_double_up_to_a_limit_and_are_cut_by_at_most_a_half(int failureCount, int least, int most)
    {
        HttpSourceOptions options = new() { FirstRetryDelay = TimeSpan.FromMilliseconds(200), MaxRetryDelay = TimeSpan.FromSeconds(1) };
        for (int i = 0; i < 100; i++) Assert.InRange(HttpAttempts.Delay(options, failureCount, null).TotalMilliseconds, least, most);
        Assert.Equal(700, Math.Max(700, HttpAttempts.Delay(options, 1, TimeSpan.FromMilliseconds(700)).TotalMilliseconds));
        Assert.Equal(1_000, HttpAttempts.Delay(options, 1, TimeSpan.FromHours(1)).TotalMilliseconds);
    }

    private static Fault? Note(ConcurrentQueue<(long, long)> asked, StoredRequest request)
    {
        asked.Enqueue((request.Offset, request.End));
        return null;
    }
}
