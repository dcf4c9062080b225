using System.Formats.Tar;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class TarIndexerTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // Read whole by the framing, the archive gives the same index.
    [Fact]
    public void Headers_alone_tell_where_samples_lie() =>
        Gen.Select(Gen.Int[0, 3], Gen.Int[0, 6], Gen.Int[0, 4]).Array[0, 25].Sample(entries =>
        {
            List<(string, byte[])> files = [];
            foreach ((int kind, int key, int size) in entries)
                files.Add((kind == 3 ? $"note{files.Count}" : $"{(kind == 2 ? new string('n', 120) : "k")}{key}.{files.Count}", new byte[new[] { 0, 1, 600, 20_000, 300_000 }[size]]));
            AssertSame(TarWalkerTests.WriteByRuntime(TarEntryFormat.Pax, files));
        }, iter: 60, threads: 1);

    [Fact]
    public void Cut_and_damaged_archives_have_the_same_index_either_way()
    {
        byte[] valid = TarWalkerTests.WriteByRuntime(TarEntryFormat.Gnu, [("a.x", [1]), ("a.y", new byte[3000]), (new string('n', 130) + ".x", [7]), ("b.x", new byte[20_000])]);
        Gen.Select(Gen.Int[1, valid.Length], Gen.Int[0, valid.Length - 1], Gen.Byte).Sample((length, at, value) =>
        {
            byte[] bytes = valid[..length];
            if (at < length) bytes[at] = value;
            AssertSame(bytes);
        }, iter: 300, threads: 1);
        AssertSame([]);
    }

    private void AssertSame(byte[] bytes)
    {
        string file = _folder.Write("a.tar", bytes);
        using StreamContext context = StreamContext.CreateRoot(new IngestOptions { IndexFolder = _folder.File("none/at/all") }, new PipelineMeter(), default);
        using FileByteSource source = new(file);
        RecordIndex headers = TarIndexer.Find(source, bytes.Length, context), whole = new RecordScan<TarFraming>(source, bytes.Length, new TarFraming(1 << 30), context).Run();
        Assert.Equal(Offsets(whole), Offsets(headers));
        if (Directory.Exists(_folder.File("none"))) Directory.Delete(_folder.File("none"), recursive: true);
    }

    private static List<long> Offsets(RecordIndex index) => [.. Enumerable.Range(0, (int)index.Count + 1).Select(i => index.OffsetOf(i))];
}
