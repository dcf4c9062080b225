using System.Buffers;
using System.Formats.Tar;
using System.Text;

namespace DistTrain.Ingest.Tests;

public sealed class TextAndTarFramingTests
{
    private static readonly byte[] s_csv = Encoding.UTF8.GetBytes("\ufeffa,b\n\n1,\"x\r\n\"\"y\"\"\"\r\n\r\n2,z\n\n\n3,");
    private static readonly byte[] s_json = Encoding.UTF8.GetBytes("\ufeff\n{\"a\":1}\r\n  \n [2] \n\n3");
    private static readonly byte[] s_tar = TarWalkerTests.WriteByRuntime(TarEntryFormat.Pax, [("a.x", [1]), ("a.y", new byte[600]), ("none", [5]), ("b.x", []), (new string('n', 130) + ".x", [7])]);

    [Fact]
    public void Csv_rows_are_the_same_in_pieces_of_any_size() =>
        AssertSame(new CsvFraming((byte)',', true, 1000), s_csv, ["1,\"x\r\n\"\"y\"\"\"", "2,z", "3,"]);

    [Fact]
    public void Json_lines_are_the_same_in_pieces_of_any_size() => AssertSame(new JsonLinesFraming(1000), s_json, ["{\"a\":1}", "[2]", "3"]);

    [Fact]
    public void Tar_samples_are_the_same_in_pieces_of_any_size()
    {
        List<string> whole = Read(new TarFraming(1 << 20), s_tar, s_tar.Length);
        Assert.Equal(3, whole.Count);
        foreach (int piece in new[] { 1, 7, 100, 511, 512, 513, 1024, 1500, 4096 }) Assert.Equal(whole, Read(new TarFraming(1 << 20), s_tar, piece));
    }

    [Fact]
    public void A_row_begins_behind_header_and_blank_lines()
    {
        RecordFrame frame = default;
        Assert.Equal(FrameStatus.Complete, new CsvFraming((byte)',', true, 100).Read("a\n\r\n\nb\nc\n"u8, 0, false, ref frame));
        Assert.Equal((5, 1, 7L, 5), (frame.DataStart, frame.DataLength, frame.ByteCount, frame.LeadByteCount));
        Assert.Equal(FrameStatus.Complete, new CsvFraming((byte)',', true, 100).Read("a\n"u8, 9, false, ref frame));
        Assert.Equal((0, 1, 2L, 0), (frame.DataStart, frame.DataLength, frame.ByteCount, frame.LeadByteCount));
    }

    [Fact]
    public void Behind_a_faulty_row_of_a_sequence_the_next_line_follows()
    {
        ReadOnlySequence<byte> input = InPieces("\"a\"b\n1,2\n\"c\"d"u8.ToArray(), 3);
        SourceLocation place = new("pieces");
        CsvFraming framing = new((byte)',', false, 10);
        Assert.Throws<DataFormatException>(() => RecordSequence.TryRead(framing, ref input, ref place, true, out _));
        Assert.True(RecordSequence.TryRead(framing, ref input, ref place, true, out ReadOnlySequence<byte> row));
        Assert.Equal("1,2"u8, row.ToArray());
        Assert.Throws<DataFormatException>(() => RecordSequence.TryRead(framing, ref input, ref place, true, out _));
        Assert.True(input.IsEmpty);
    }

    [Theory]
    [InlineData("")]
    [InlineData("\n\r\n")]
    [InlineData("\ufeff")]
    public void A_text_of_blank_lines_has_no_records(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Assert.Empty(Read(new JsonLinesFraming(10), bytes, 1));
        Assert.Empty(Read(new CsvFraming((byte)',', false, 10), bytes, 1));
    }

    private static void AssertSame<TFraming>(TFraming framing, byte[] bytes, string[] expected) where TFraming : struct, IRecordFraming
    {
        for (int piece = 1; piece <= bytes.Length; piece++) Assert.Equal(expected, Read(framing, bytes, piece));
    }

    private static List<string> Read<TFraming>(TFraming framing, byte[] bytes, int piece) where TFraming : struct, IRecordFraming
    {
        List<string> records = [];
        SourceLocation place = new("pieces");
        // What a pipe does: a little more each time, until the end.
        for (int arrived = Math.Min(piece, bytes.Length); ; arrived = Math.Min(arrived + piece, bytes.Length))
        {
            bool isFinal = arrived == bytes.Length;
            ReadOnlySequence<byte> input = InPieces(bytes.AsMemory((int)place.Offset, arrived - (int)place.Offset), piece);
            while (RecordSequence.TryRead(framing, ref input, ref place, isFinal, out ReadOnlySequence<byte> record)) records.Add(Encoding.UTF8.GetString(record.ToArray()));
            if (isFinal) return records;
        }
    }

    private static ReadOnlySequence<byte> InPieces(ReadOnlyMemory<byte> bytes, int piece)
    {
        Piece first = new(bytes[..Math.Min(piece, bytes.Length)], 0), last = first;
        for (int i = piece; i < bytes.Length; i += piece) last = last.Append(bytes.Slice(i, Math.Min(piece, bytes.Length - i)));
        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(ReadOnlyMemory<byte> memory, long runningIndex) => (Memory, RunningIndex) = (memory, runningIndex);

        public Piece Append(ReadOnlyMemory<byte> memory)
        {
            Piece next = new(memory, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}
