namespace DistTrain.Ingest.Tests;

public sealed class DecompressionTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<DataCompression> Kinds => [DataCompression.Gzip, DataCompression.Zlib, DataCompression.Zstd];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Compressed_records_are_read(DataCompression kind)
    {
        byte[] content = Records(50, 70_000, seed: 1);
        foreach (bool readAhead in (bool[])[false, true])
        {
            TFRecordOptions options = new() { ReadAhead = readAhead, SlabByteCount = 1 << 16, Compression = kind };
            List<string> expected = RecordRuns.All(Dataset.FromTFRecord(_folder.Write("plain", content), new TFRecordOptions { ReadAhead = false }));
            Assert.Equal(expected, RecordRuns.All(Dataset.FromTFRecord(_folder.Write("compressed", CompressedBytes.Of(kind, content)), options)));
        }
    }

    [Theory]
    [InlineData(DataCompression.Gzip, "a.tfrecord.gz")]
    [InlineData(DataCompression.Gzip, "a.tfrecord.GZIP")]
    [InlineData(DataCompression.Gzip, "a.tfrecord")]
    [InlineData(DataCompression.Zlib, "a.zlib")]
    [InlineData(DataCompression.Zstd, "a.zst")]
    [InlineData(DataCompression.Zstd, "a")]
    public void Names_and_first_bytes_tell_the_compression(DataCompression kind, string name)
    {
        string file = _folder.Write(name, CompressedBytes.Of(kind, Records(3, 10, seed: 2)));
        Assert.Equal(3, RecordRuns.All(Dataset.FromTFRecord(file)).Count);
    }

    [Fact]
    public void A_record_whose_length_looks_like_the_start_of_gzip_is_no_gzip()
    {
        // 0x88b1f bytes: the file begins with 1f 8b 08 00.
        string file = _folder.File("a");
        using (TFRecordWriter writer = TFRecordWriter.Append(file)) writer.Write(new byte[0x88b1f]);
        Assert.Equal(0x88b1f * 2, Assert.Single(RecordRuns.All(Dataset.FromTFRecord(file))).Length);
    }

    [Fact]
    public void Several_gzip_members_are_one_file()
    {
        byte[] first = Records(2, 10, seed: 3), second = Records(3, 10, seed: 4);
        string file = _folder.Write("a.gz", [.. TemporaryFolder.Gzip(first), .. TemporaryFolder.Gzip([]), .. TemporaryFolder.Gzip(second)]);
        Assert.Equal(RecordRuns.All(Dataset.FromTFRecord(_folder.Write("plain", [.. first, .. second]))), RecordRuns.All(Dataset.FromTFRecord(file)));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_compressed_file_cut_short_anywhere_is_found(DataCompression kind)
    {
        // Two records, so that a cut may well fall where a record ends.
        byte[] whole = CompressedBytes.Of(kind, Records(2, 40, seed: 5));
        for (int length = 0; length < whole.Length; length++)
        {
            List<string> seen = RecordRuns.All(Dataset.FromTFRecord(_folder.Write("cut", whole[..length]), Inline(kind)));
            Assert.True(seen.Count > 0 && seen[^1].StartsWith('!'), $"{kind} cut at {length} of {whole.Length}: {string.Join("; ", seen)}");
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Damage_anywhere_in_a_compressed_file_is_found_or_harmless(DataCompression kind)
    {
        byte[] content = Records(2, 40, seed: 6), whole = CompressedBytes.Of(kind, content);
        List<string> expected = RecordRuns.All(Dataset.FromTFRecord(_folder.Write("plain", content)));
        for (int i = 0; i < whole.Length; i++)
        {
            byte[] damaged = [.. whole];
            damaged[i] ^= 0x20;
            List<string> seen = RecordRuns.All(Dataset.FromTFRecord(_folder.Write("damaged", damaged), Inline(kind)));
            // Flags and times of headers may be anything.
            if (!seen.Exists(record => record.StartsWith('!'))) Assert.Equal(expected, seen);
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void An_error_in_compressed_data_names_file_and_place(DataCompression kind)
    {
        byte[] whole = CompressedBytes.Of(kind, Records(2, 40, seed: 7));
        string message = RecordRuns.All(Dataset.FromTFRecord(_folder.Write("cut", whole[..^5]), Inline(kind)))[^1];
        Assert.StartsWith("!cut, byte ", message);
        Assert.Contains(": FromTFRecord, record ", message);
        Assert.Contains("the compressed data are damaged or cut short", message);
    }

    [Fact]
    public void Zlib_data_that_want_a_dictionary_are_an_error_of_the_data()
    {
        // The flag says that a dictionary that both sides know comes first (RFC 1950, section 2.2).
        string file = _folder.Write("dictionary", [0x78, 0xbb, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1]);
        using DatasetIterator<Record> run = Dataset.FromTFRecord(file, Inline(DataCompression.Zlib)).Iterate();
        DataFormatException error = Assert.Throws<DataFormatException>(() => run.MoveNext());
        Assert.StartsWith($"{file}, byte 0: FromTFRecord, record 0: the compressed data are damaged or cut short", error.Message);
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_run_over_compressed_files_goes_on_exactly_where_it_was_saved(DataCompression kind)
    {
        string[] files = [_folder.Write("a", CompressedBytes.Of(kind, Records(5, 100_000, seed: 8))), _folder.Write("b", CompressedBytes.Of(kind, Records(4, 10, seed: 9)))];
        CheckpointChecker.Check(() => Dataset.FromTFRecord(files, Inline(kind)), record => Crc32C.Compute(record.Span), breakPoints: 4);
    }

    private static TFRecordOptions Inline(DataCompression kind) => new() { ReadAhead = false, Compression = kind };

    private static byte[] Records(int count, int length, int seed)
    {
        Random random = new(seed);
        using MemoryStream stream = new();
        using TFRecordWriter writer = new(stream);
        byte[] record = new byte[length];
        for (int i = 0; i < count; i++)
        {
            // Half of it can be compressed.
            random.NextBytes(record.AsSpan(0, length / 2));
            writer.Write(record.AsSpan(0, random.Next(length + 1)));
        }
        return stream.ToArray();
    }
}
