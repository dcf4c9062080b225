using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class TFRecordTests
{
    private static readonly TFRecordOptions s_inline = new() { ReadAhead = false };
    private static readonly TFRecordFraming s_framing = new(TFRecordOptions.DefaultMaxRecordByteCount);

    // Written by TensorFlow; kept in Apache Beam's tfrecordio_test.py.
    private const string FooBar = "AwAAAAAAAACwmUkOZm9vYYq+/gMAAAAAAAAAsJlJDmJhckYA5cg=";

    [Fact]
    public void A_file_written_by_tensorflow_is_read()
    {
        Assert.Equal(["foo", "bar"], ReadAll(Convert.FromBase64String(FooBar)).Select(Encoding.ASCII.GetString));
    }

    [Fact]
    public void Written_records_have_the_bytes_that_tensorflow_writes()
    {
        using MemoryStream stream = new();
        using (TFRecordWriter writer = new(stream, leaveOpen: true))
        {
            writer.Write("foo"u8);
            writer.Write(InPieces("bar"u8.ToArray(), 1));
            Assert.Equal(2, writer.RecordCount);
        }

        Assert.Equal(FooBar, Convert.ToBase64String(stream.ToArray()));
    }

    [Fact]
    public void Records_of_any_size_survive_writing_and_reading()
    {
        Gen.Byte.Array[0, 300].List[0, 20].Sample(records =>
            Assert.Equal(records, ReadAll(WriteAll(records))), iter: 200);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_record_longer_than_a_slab_is_read(bool readAhead)
    {
        byte[] record = new byte[3_000_001];
        new Random(3).NextBytes(record);
        Assert.Equal([[2], record, [1]], ReadAll(WriteAll([[2], record, [1]]), new TFRecordOptions { ReadAhead = readAhead, SlabByteCount = 1 << 16 }));
    }

    [Fact]
    public void Damage_of_any_byte_is_found()
    {
        byte[] file = WriteAll([[1, 2, 3], [], [4, 5, 6, 7, 8]]);
        for (int i = 0; i < file.Length; i++)
        {
            byte[] damaged = [.. file];
            damaged[i] ^= 0x10;
            DataFormatException failure = Assert.Throws<DataFormatException>(() => ReadAll(damaged));
            Assert.EndsWith("test.tfrecord", failure.File);
            Assert.Contains(", record ", failure.Message);
        }
    }

    [Fact]
    public void A_file_cut_short_anywhere_but_between_records_is_found()
    {
        byte[] file = WriteAll([[1, 2, 3], [], [4, 5, 6, 7, 8]]);
        for (int length = 0; length < file.Length; length++)
        {
            byte[] cut = file[..length];
            if (length is 0 or 19 or 35) Assert.Equal(length == 0 ? 0 : length == 19 ? 1 : 2, ReadAll(cut).Count);
            else Assert.Contains("cut short", Assert.Throws<DataFormatException>(() => ReadAll(cut)).Message);
        }
    }

    [Fact]
    public void A_damaged_record_is_named_with_file_offset_number_and_both_checksums()
    {
        byte[] file = Convert.FromBase64String(FooBar);
        file[^5] ^= 1;

        DataFormatException failure = Assert.Throws<DataFormatException>(() => ReadAll(file));

        uint found = Crc32C.ComputeMasked("bas"u8);
        Assert.EndsWith($"test.tfrecord, byte 31: FromTFRecord, record 1: the record's 3 bytes have masked CRC-32C {found:x8}, the file says c8e50046: damaged", failure.Message);
        Assert.Equal(31, failure.Offset);
    }

    [Fact]
    public void A_length_that_lies_with_a_right_checksum_allocates_no_more_than_the_file_gives()
    {
        using TemporaryFolder folder = new();
        string path = folder.Write("lie.tfrecord", Header(1_000_000_000, 100));
        using DatasetIterator<Record> run = Dataset.FromTFRecord(path, s_inline).Iterate();
        long before = GC.GetAllocatedBytesForCurrentThread();

        DataFormatException failure = Assert.Throws<DataFormatException>(() => run.TryNext(out _));

        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 200_000);
        Assert.EndsWith("lie.tfrecord, byte 100: FromTFRecord, record 0: the file ends after 88 of the 1,000,000,004 bytes of the record's data and checksum: cut short", failure.Message);
    }

    [Theory]
    [InlineData(1_001L)]
    [InlineData(-1L)]
    [InlineData(long.MinValue)]
    public void A_record_longer_than_the_limit_is_refused(long length)
    {
        Assert.Contains("at most 1,000 are accepted", Assert.Throws<DataFormatException>(() => ReadAll(Header(length, 2000), s_inline with { MaxRecordByteCount = 1000 })).Message);
    }

    [Fact]
    public void A_sequence_in_pieces_of_any_size_gives_the_same_records()
    {
        List<byte[]> records = [[1, 2, 3], [], new byte[40], [9]];
        byte[] file = WriteAll(records);
        for (int piece = 1; piece <= file.Length; piece++)
        {
            ReadOnlySequence<byte> input = InPieces(file, piece);
            SourceLocation place = new("pieces");
            List<byte[]> found = [];
            while (RecordSequence.TryRead(s_framing, ref input, ref place, isFinal: false, out ReadOnlySequence<byte> record)) found.Add(record.ToArray());
            Assert.Equal(records, found);
            Assert.Equal(new SourceLocation("pieces", file.Length, 4), place);
            Assert.Equal(0, input.Length);
        }
    }

    [Fact]
    public void An_incomplete_sequence_is_left_for_the_next_read()
    {
        byte[] file = WriteAll([[1, 2, 3]]);
        for (int length = 0; length < file.Length; length++)
        {
            ReadOnlySequence<byte> input = new(file, 0, length);
            SourceLocation place = new("part");
            Assert.False(RecordSequence.TryRead(s_framing, ref input, ref place, isFinal: false, out _));
            Assert.Equal(length, input.Length);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Behind_a_record_that_is_too_long_and_cut_short_a_saved_run_goes_on_with_the_next_file(bool readAhead)
    {
        using TemporaryFolder folder = new();
        string[] files = [folder.Write("cut", Header(5_000, 100)), folder.Write("whole", WriteAll([[7]]))];
        Dataset<Record> records = Dataset.FromTFRecord(files, new TFRecordOptions { ReadAhead = readAhead, MaxRecordByteCount = 1_000 });
        IteratorState state;
        using (DatasetIterator<Record> run = records.Iterate())
        {
            Assert.Throws<DataFormatException>(() => run.TryNext(out _));
            state = run.Save();
        }
        using DatasetIterator<Record> resumed = records.Iterate();
        resumed.Restore(state);
        Assert.True(resumed.TryNext(out Record record));
        Assert.Equal([7], record.Span.ToArray());
        record.Dispose();
    }

    private static List<byte[]> ReadAll(byte[] file, TFRecordOptions? options = null)
    {
        using TemporaryFolder folder = new();
        using DatasetIterator<Record> run = Dataset.FromTFRecord(folder.Write("test.tfrecord", file), options ?? s_inline).Iterate();
        List<byte[]> records = [];
        while (run.TryNext(out Record record))
        {
            records.Add(record.Span.ToArray());
            record.Dispose();
        }
        run.Dispose();
        Assert.Equal(0, run.Slabs.OutstandingCount);
        return records;
    }

    private static byte[] Header(long length, int fileLength)
    {
        byte[] file = new byte[fileLength];
        BinaryPrimitives.WriteInt64LittleEndian(file, length);
        BinaryPrimitives.WriteUInt32LittleEndian(file.AsSpan(8), Crc32C.ComputeMasked(file.AsSpan(0, 8)));
        return file;
    }

    private static byte[] WriteAll(List<byte[]> records)
    {
        using MemoryStream stream = new();
        using (TFRecordWriter writer = new(stream, leaveOpen: true)) foreach (byte[] record in records) writer.Write(record);
        return stream.ToArray();
    }

    private static ReadOnlySequence<byte> InPieces(byte[] bytes, int piece)
    {
        Piece first = new(bytes.AsMemory(0, Math.Min(piece, bytes.Length)), 0), last = first;
        for (int i = piece; i < bytes.Length; i += piece) last = last.Append(bytes.AsMemory(i, Math.Min(piece, bytes.Length - i)));
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
