using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;

namespace DistTrain.Ingest.Tests;

public sealed class FromPipeTests
{
    private static readonly TFRecordFraming s_framing = new(1 << 26);

    [Fact]
    public void Records_come_out_of_streams_one_behind_the_other()
    {
        byte[] first = Records(3, 10), second = Records(2, 100_000);
        Dataset<Record> records = Dataset.FromPipe([Stream("a", first), Stream("b", []), Stream("c", second)], s_framing);
        List<string> seen = RecordRuns.All(records);
        Assert.Equal(5, seen.Count);
        Assert.Equal(seen, RecordRuns.All(records));
        Assert.False(records.HasIndex);
    }

    [Fact]
    public void A_record_longer_than_every_threshold_neither_stalls_nor_is_copied_into_more_than_it_needs()
    {
        byte[] content = Records(3, 20_000_000);
        using DatasetIterator<Record> run = Dataset.FromPipe([Stream("long", content)], s_framing).Iterate(new IngestOptions { MemoryBudgetBytes = 1L << 30 });
        for (int i = 0; i < 3; i++)
        {
            Assert.True(run.TryNext(out Record record));
            Assert.Equal(20_000_000, record.Length);
            record.Dispose();
        }
        Assert.False(run.TryNext(out _));
        Assert.InRange(run.Slabs.PooledByteCount, 0, 100_000_000);
        run.Dispose();
        Assert.Equal(0, run.Slabs.OutstandingCount);
    }

    [Fact]
    public void A_pipe_of_small_segments_and_a_low_threshold_gives_the_same_records()
    {
        byte[] content = Records(40, 3_000);
        List<string> expected = RecordRuns.All(Dataset.FromPipe([Stream("a", content)], s_framing));
        PipeSource source = new("pipe", () =>
        {
            Pipe pipe = new(new PipeOptions(pauseWriterThreshold: 1000, resumeWriterThreshold: 500, minimumSegmentSize: 16));
            _ = Task.Run(async () =>
            {
                for (int i = 0; i < content.Length; i += 777) await pipe.Writer.WriteAsync(content.AsMemory(i, Math.Min(777, content.Length - i)));
                await pipe.Writer.CompleteAsync();
            });
            return pipe.Reader;
        });
        Assert.Equal(expected, RecordRuns.All(Dataset.FromPipe([source], s_framing)));
    }

    [Theory]
    [InlineData(DataCompression.Gzip)]
    [InlineData(DataCompression.Zlib)]
    [InlineData(DataCompression.Zstd)]
    public void Compressed_streams_are_decompressed_and_found_out_if_cut_short(DataCompression kind)
    {
        byte[] content = Records(30, 10_000), compressed = CompressedBytes.Of(kind, content);
        List<string> expected = RecordRuns.All(Dataset.FromPipe([Stream("a", content)], s_framing));
        Assert.Equal(expected, RecordRuns.All(Dataset.FromPipe([new PipeSource("a", () => new MemoryStream(compressed), kind)], s_framing)));
        string error = RecordRuns.All(Dataset.FromPipe([new PipeSource("a", () => new MemoryStream(compressed, 0, compressed.Length - 3), kind)], s_framing))[^1];
        Assert.Contains("the compressed data are damaged or cut short", error);
    }

    [Fact]
    public void A_stream_that_fails_is_an_error_that_names_it_and_the_next_one_follows()
    {
        PipeSource failing = new("broken", () => new FailingStream(Records(2, 10)));
        List<string> seen = RecordRuns.All(Dataset.FromPipe([failing, Stream("b", Records(1, 10))], s_framing));
        Assert.Equal(4, seen.Count);
        Assert.Contains("the stream can't be read on: the line is dead", seen[2]);
        Assert.False(seen[3].StartsWith('!'));
    }

    [Fact]
    public void A_run_over_a_stream_goes_on_exactly_where_it_was_saved()
    {
        byte[] first = Records(6, 50_000), second = Records(4, 10);
        CheckpointChecker.Check(() => Dataset.FromPipe([Stream("a", first), Stream("b", second)], s_framing), record => Crc32C.Compute(record.Span), breakPoints: 4);
    }

    [Fact]
    public void Records_come_over_a_socket_and_a_peer_that_falls_silent_does_not_keep_the_run_from_ending()
    {
        using TcpListener listener = new(IPAddress.Loopback, 0);
        listener.Start();
        using TcpClient client = new();
        client.Connect((IPEndPoint)listener.LocalEndpoint);
        using TcpClient peer = listener.AcceptTcpClient();
        byte[] content = Records(3, 1000);
        peer.GetStream().Write(content);
        peer.GetStream().Write([1, 2, 3]);
        using CancellationTokenSource cancel = new();
        using DatasetIterator<Record> run = Dataset.FromPipe([new PipeSource("peer", () => client.GetStream())], s_framing).Iterate(cancellation: cancel.Token);
        for (int i = 0; i < 3; i++)
        {
            Assert.True(run.TryNext(out Record record));
            record.Dispose();
        }
        // The fourth never comes whole: the consumer waits for the pipe, the pipe's thread for the socket.
        cancel.CancelAfter(100);
        Assert.ThrowsAny<OperationCanceledException>(() => run.TryNext(out _));
        run.Dispose();
        Assert.Equal(0, run.Slabs.OutstandingCount);
    }

    [Fact]
    public void No_source_is_refused()
    {
        Assert.Throws<ArgumentException>(() => Dataset.FromPipe([], s_framing));
        Assert.Throws<ArgumentException>(() => new PipeSource("", () => new MemoryStream()));
    }

    private static PipeSource Stream(string name, byte[] content) => new(name, () => new MemoryStream(content));

    private static byte[] Records(int count, int length)
    {
        Random random = new(count);
        using MemoryStream stream = new();
        using TFRecordWriter writer = new(stream);
        byte[] record = new byte[length];
        for (int i = 0; i < count; i++)
        {
            random.NextBytes(record.AsSpan(0, Math.Min(length, 1000)));
            writer.Write(record);
        }
        return stream.ToArray();
    }

    private sealed class FailingStream(byte[] content) : ForwardStream
    {
        private bool _isGiven;

        public override int Read(Span<byte> buffer)
        {
            if (_isGiven) throw new IOException("the line is dead");
            _isGiven = true;
            content.CopyTo(buffer);
            return content.Length;
        }
    }
}
