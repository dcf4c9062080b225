using CsCheck;
using ParquetSharp;

namespace DistTrain.Ingest.Tests;

public sealed class ParquetFuzzTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(Compression.Uncompressed, true, 150)]
    [InlineData(Compression.Snappy, false, 250)]
    [InlineData(Compression.Gzip, true, 150)]
    public void Damaged_files_give_clear_errors_and_bounded_memory(Compression compression, bool dictionary, int tries)
    {
        string valid = _folder.File("valid.parquet");
        ParquetFixtures.WriteByArrow(valid, 20, 10, compression, dictionary);
        byte[] bytes = File.ReadAllBytes(valid);
        Gen.Select(Gen.Int[0, bytes.Length - 1], Gen.Byte).Array[1, 4].Sample(changes =>
        {
            byte[] damaged = [.. bytes];
            foreach ((int at, byte value) in changes) damaged[at] = value;
            Read(damaged);
        }, iter: tries, threads: 1);
    }

    [Fact]
    public void Random_bytes_between_the_marks_give_clear_errors() =>
        Gen.Byte.Array[0, 300].Sample(bytes => Read([.. "PAR1"u8, .. bytes, (byte)bytes.Length, (byte)(bytes.Length >> 8), 0, 0, .. "PAR1"u8]), iter: 150, threads: 1);

    private void Read(byte[] bytes)
    {
        string file = _folder.Write("damaged.parquet", bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            // A flipped value is no damage that a format without checksums can show.
            foreach (string row in Dataset.FromParquet(file, ParquetFixtures.Describe, new ParquetReadOptions { MaxRowGroupByteCount = 1 << 20 })) Assert.NotNull(row);
        }
        catch (Exception e) when (e is DataFormatException or IngestException)
        {
            Assert.Contains(file, e.Message);
        }
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated < 8 << 20, $"{allocated:N0} bytes were allocated for a file of {bytes.Length:N0}");
    }
}
