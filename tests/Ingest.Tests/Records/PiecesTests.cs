using System.Formats.Tar;
using System.Text;
using CsCheck;

namespace DistTrain.Ingest.Tests;

/// <summary>What a source gives must not depend on how its bytes come: read ahead or not, decompressed, over a network, in slabs of any size.</summary>
public sealed class PiecesTests
{
    private static readonly int[] s_pieces = [1, 2, 3, 5, 8, 13, 64, 512, 700];

    [Fact]
    public void Rows_and_errors_of_any_csv_are_the_same_however_the_bytes_come() =>
        Texts("ab,\"\n\r").Sample((text, limit) => AssertSame(new CsvFraming((byte)',', limit % 2 == 0, limit), text), iter: 3_000);

    [Fact]
    public void Lines_and_errors_of_any_text_are_the_same_however_the_bytes_come() =>
        Texts("aö\n\r").Sample((text, limit) => AssertSame(new LineFraming(limit), text), iter: 1_500);

    [Fact]
    public void Lines_and_errors_of_any_json_are_the_same_however_the_bytes_come() =>
        Texts("{1 \n\r\t").Sample((text, limit) => AssertSame(new JsonLinesFraming(limit), text), iter: 1_500);

    [Fact]
    public void Samples_and_errors_of_archives_are_the_same_however_the_bytes_come()
    {
        byte[] archive = TarWalkerTests.WriteByRuntime(TarEntryFormat.Ustar, [("a.x", new byte[10]), ("a.y", new byte[3000]), ("b.x", new byte[9000]), ("c.x", [1])]);
        foreach (int limit in (int[])[1 << 20, 6_000, 3_000, 100]) AssertSame(new TarFraming(limit), archive);
    }

    [Fact]
    public void A_long_line_is_looked_at_a_few_times() =>
        AssertLittleWork(new LineFraming(1 << 26), [.. Enumerable.Repeat((byte)'a', 3 << 20)]);

    [Fact]
    public void A_long_run_of_blank_lines_is_looked_at_a_few_times()
    {
        byte[] blank = [.. Enumerable.Repeat((byte)'\n', 3 << 20)];
        AssertLittleWork(new CsvFraming((byte)',', false, 1 << 26), blank);
        AssertLittleWork(new JsonLinesFraming(1 << 26), blank);
    }

    [Fact]
    public void Many_small_entries_of_an_archive_are_looked_at_a_few_times()
    {
        // Folders before the first sample, and a sample of many parts.
        byte[] folders = TarWalkerTests.WriteByRuntime(TarEntryFormat.Ustar, [.. Enumerable.Range(0, 6_000).Select(i => ($"file{i}", Array.Empty<byte>())), ("a.x", [1])]);
        byte[] parts = TarWalkerTests.WriteByRuntime(TarEntryFormat.Ustar, [.. Enumerable.Range(0, 900).Select(i => ($"a.{i}", new byte[600])), ("b.x", [1])]);
        AssertLittleWork(new TarFraming(1 << 26), folders);
        AssertLittleWork(new TarFraming(1 << 26), parts, most: 16);
    }

    [Fact]
    public void Blank_lines_beyond_the_limit_are_an_error_and_not_kept()
    {
        byte[] blank = [.. Enumerable.Repeat((byte)'\n', 1 << 20)];
        Assert.Equal([("FromTest, record 0: more than 1,000 bytes of blank lines", 0L)], Read(new CsvFraming((byte)',', false, 1000), blank, 512));
        Assert.StartsWith("FromTest, record 0: more than 1,000 bytes of white space", Assert.Single(Read(new JsonLinesFraming(1000), blank, 512)).Text);
    }

    [Theory]
    [InlineData(100_000)]
    [InlineData(3_000_000)]
    public void An_index_of_long_lines_costs_reading_the_file_a_few_times(int length)
    {
        byte[] text = [.. Enumerable.Range(0, 4).SelectMany(_ => Enumerable.Repeat((byte)'a', length).Append((byte)'\n'))];
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), TestContext.Current.CancellationToken);
        using CountingSource source = new(text);
        Assert.Equal(4, new RecordScan<LineFraming>(source, text.Length, new LineFraming(1 << 26), context).Run().Count);
        Assert.InRange(source.ReadByteCount, text.Length, 5L * text.Length);
    }

    private static Gen<(string, int)> Texts(string alphabet) => Gen.Select(Gen.String[Gen.Char[alphabet], 0, 40], Gen.Int[1, 12]);

    private static void AssertSame<TFraming>(TFraming framing, string text) where TFraming : struct, IRecordFraming => AssertSame(framing, Encoding.UTF8.GetBytes(text));

    private static void AssertSame<TFraming>(TFraming framing, byte[] bytes) where TFraming : struct, IRecordFraming
    {
        List<(string, long)> whole = Read(framing, bytes, Math.Max(1, bytes.Length), endsApart: false);
        foreach (int piece in s_pieces)
            if (piece < bytes.Length) Assert.Equal(whole, Read(framing, bytes, piece, endsApart: true));
    }

    private static void AssertLittleWork<TFraming>(TFraming framing, byte[] bytes, int most = 8) where TFraming : struct, IRecordFraming
    {
        WorkCount work = new();
        Read(new CountingFraming<TFraming>(framing, work), bytes, 4096);
        Assert.InRange(work.ByteCount, bytes.Length / 2, (long)most * bytes.Length);
    }

    // Records as text; errors with where they are.
    private static List<(string Text, long Offset)> Read<TFraming>(TFraming framing, byte[] bytes, int piece, bool endsApart = true) where TFraming : struct, IRecordFraming
    {
        List<(string, long)> seen = [];
        StreamContext context = StreamContext.CreateRoot(new IngestOptions(), new PipelineMeter(), TestContext.Current.CancellationToken);
        using (RecordStream<TFraming> stream = new("FromTest", new PieceFeed(context.Slabs, bytes, piece, endsApart), framing, context))
        {
            for (bool isThere = true; isThere;)
            {
                try
                {
                    isThere = stream.TryNext(out Record record);
                    if (isThere) seen.Add((Encoding.UTF8.GetString(record.Span), -1));
                    record.Dispose();
                }
                catch (DataFormatException e)
                {
                    seen.Add((e.Problem, e.Offset));
                }
            }
        }
        Assert.Equal(0, context.Slabs.OutstandingCount);
        context.Dispose();
        return seen;
    }

    private sealed class WorkCount
    {
        public long ByteCount;
    }

    private readonly struct CountingFraming<TFraming>(TFraming framing, WorkCount work) : IRecordFraming where TFraming : struct, IRecordFraming
    {
        public FrameStatus Read(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame)
        {
            work.ByteCount += window.Length;
            return framing.Read(window, offset, isFinal, ref frame);
        }

        public FrameStatus Measure(ReadOnlySpan<byte> window, long offset, bool isFinal, ref RecordFrame frame) => Read(window, offset, isFinal, ref frame);

        public bool Recognizes(ReadOnlySpan<byte> start) => false;
    }

    /// <summary>Each piece in a slab of its own.</summary>
    private sealed class PieceFeed(SlabPool pool, byte[] bytes, int piece, bool endsApart) : SlabFeed
    {
        private int _at;
        private bool _isEnded;

        internal override int FileCount => 1;

        internal override string NameOf(int file) => "pieces";

        internal override void Seek(int file, long offset) => _at = (int)offset;

        internal override bool TryNext(out SlabPiece next)
        {
            next = default;
            if (_isEnded) return false;
            int length = Math.Min(piece, bytes.Length - _at);
            _isEnded = length == 0;
            if (_isEnded)
            {
                next = new SlabPiece { IsEnd = true };
                return true;
            }
            Slab slab = pool.Rent(length);
            bytes.AsSpan(_at, length).CopyTo(slab.Span);
            _at += length;
            _isEnded = _at == bytes.Length && !endsApart;
            next = new SlabPiece { Slab = slab, Start = slab.Origin, Length = length, IsEnd = _isEnded };
            return true;
        }

        internal override void SkipRest(int file) => _at = bytes.Length;

        public override void Dispose() => _isEnded = true;
    }

    private sealed class CountingSource(byte[] bytes) : IByteSource
    {
        public long ReadByteCount { get; private set; }

        public string Name => "counted";

        public long? GetLength(CancellationToken cancellation = default) => bytes.Length;

        public int Read(long offset, Span<byte> destination, CancellationToken cancellation = default)
        {
            int count = (int)Math.Min(destination.Length, bytes.Length - offset);
            bytes.AsSpan((int)offset, count).CopyTo(destination);
            ReadByteCount += count;
            return count;
        }

        public void Dispose()
        {
            // Bytes in memory alone.
        }
    }
}
