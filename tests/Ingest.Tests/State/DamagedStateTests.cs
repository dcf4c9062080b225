using System.Buffers.Binary;
using CsCheck;
using DistTrain.Ingest;
using Xunit;

namespace DistTrain.Ingest.Tests;

/// <summary>States that were damaged, or made up: an error that says so, nothing worse, and no more memory than they have bytes.</summary>
public sealed class DamagedStateTests
{
    private static readonly Func<Dataset<long>>[] s_pipelines =
    [
        () => Dataset.Range(40).GlobalShuffle(1).Shard(1, 2).Map(n => n, 2).Repeat(3).Prefetch(2),
        () => Sources.Stream(40).Filter(n => n % 3 != 0).Shuffle(6, 9).Map(n => -n, 2).Repeat(3).Prefetch(3),
        () => Dataset.Range(7).Interleave(n => Sources.Stream(n), 3, 2, 2).IgnoreErrors().Take(15),
        () => Dataset.Range(7).Interleave(n => Dataset.Range(n).Shuffle(3, 1), 3, 2).Skip(2).Cache(),
        () => Dataset.SampleFrom([Dataset.Range(20).Concatenate(Sources.Stream(9)), Sources.Stream(30).Shard(1, 2)], [1, 2], 3).AssertCardinality(44),
        () => Dataset.Range(20).Zip(Sources.Stream(30).Statistics(new StreamStatistics())).Shuffle(5, 2).Map(pair => pair.First + pair.Second),
        () => Sources.Stream(30).Map(n => $"{n}").Shuffle(9, 2).Zip(Sources.Stream(30).Map(n => new byte[n]).Shuffle(3, 1)).Map(pair => (long)pair.First.Length + pair.Second.Length),
    ];

    public static TheoryData<int> Pipelines => [.. Enumerable.Range(0, s_pipelines.Length)];

    [Theory]
    [MemberData(nameof(Pipelines))]
    public void Every_changed_byte_and_every_cut_is_found(int pipeline)
    {
        byte[] bytes = Saved(pipeline, 11);
        for (int i = 0; i < bytes.Length; i++)
        {
            byte[] changed = [.. bytes];
            changed[i] ^= (byte)(1 << (i % 8));
            Assert.Throws<DataFormatException>(() => IteratorState.FromBytes(changed));
            Assert.Throws<DataFormatException>(() => IteratorState.FromBytes(bytes.AsSpan(0, i)));
        }
        Assert.Throws<DataFormatException>(() => IteratorState.FromBytes([.. bytes, 0]));
    }

    // With the right checksum: what an attacker, or a bug, could write.
    [Theory]
    [MemberData(nameof(Pipelines))]
    public void Nonsense_under_a_right_checksum_is_refused_or_harmless(int pipeline)
    {
        byte[] content = Saved(pipeline, 11)[12..];
        long[] nonsense = [-1, 0, 1, 2, 3, 17, 1000, int.MaxValue, 1L << 40, long.MaxValue, long.MinValue];
        for (int at = 0; at + 8 <= content.Length; at++)
        {
            byte[] changed = [.. content];
            BinaryPrimitives.WriteInt64LittleEndian(changed.AsSpan(at), nonsense[at % nonsense.Length]);
            RestoreOrRefuse(pipeline, changed);
        }
        for (int length = 0; length < content.Length; length++) Assert.Throws<DataFormatException>(() => Restore(pipeline, content.AsSpan(0, length)));
        Assert.Throws<DataFormatException>(() => Restore(pipeline, [.. content, 1]));
    }

    [Theory]
    [MemberData(nameof(Pipelines))]
    public void Random_changes_are_refused_or_harmless(int pipeline)
    {
        byte[] content = Saved(pipeline, 11)[12..];
        Gen.Select(Gen.Int[0, content.Length - 1], Gen.Byte, Gen.Int[0, content.Length - 1], Gen.Byte).Sample((at, value, other, second) =>
        {
            byte[] changed = [.. content];
            changed[at] = value;
            changed[other] = second;
            RestoreOrRefuse(pipeline, changed);
        }, iter: 200, threads: 1);
    }

    [Fact]
    public void A_state_of_another_pipeline_names_both()
    {
        using DatasetIterator<long> run = Dataset.Range(9).Take(5).Iterate();
        using DatasetIterator<long> other = Dataset.Range(9).Map(n => n).Iterate();
        string message = Assert.Throws<DataFormatException>(() => other.Restore(run.Save())).Message;
        Assert.Contains("'Take'", message, StringComparison.Ordinal);
        Assert.Contains("'Map'", message, StringComparison.Ordinal);
    }

    [Fact]
    public void Data_that_have_become_fewer_are_noticed()
    {
        foreach (Func<long, Dataset<long>> make in new Func<long, Dataset<long>>[] { Dataset.Range, Sources.Stream, n => Sources.Stream(n).Filter(_ => true).Prefetch(4), n => Dataset.Range(n).Shuffle(5, 1) })
        {
            using DatasetIterator<long> run = make(40).Iterate();
            for (int i = 0; i < 30; i++) Assert.True(run.TryNext(out _));
            IteratorState state = run.Save();
            using DatasetIterator<long> fewer = make(20).Iterate();
            Assert.Contains("element", Assert.Throws<DataFormatException>(() => fewer.Restore(state)).Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("plain")]
    [InlineData("grüße, 世界 🎉")]
    [InlineData("half a pair \ud83c and the other half \udf89 \u0000")]
    public void Strings_come_back_as_they_were(string text)
    {
        StateWriter writer = new();
        ElementCodec<(string, float[])> codec = ElementCodec<(string, float[])>.Default!;
        writer.WriteElement(codec, (text, [1.5f, float.NaN]));
        (string found, float[] numbers) = new StateReader(writer.Written).ReadElement(codec);
        Assert.Equal(text, found);
        Assert.Equal([1.5f, float.NaN], numbers);
    }

    [Fact]
    public void What_must_be_disposed_is_not_copied_as_bytes()
    {
        Assert.Null(ElementCodec<Ticket>.Default);
        Assert.Null(ElementCodec<(Ticket, int)>.Default);
        Assert.NotNull(ElementCodec<(int, Guid)>.Default);
    }

    private static byte[] Saved(int pipeline, int taken)
    {
        using DatasetIterator<long> run = s_pipelines[pipeline]().Iterate();
        for (int i = 0; i < taken; i++) Assert.True(run.TryNext(out _));
        return run.Save().ToBytes().ToArray();
    }

    private static void RestoreOrRefuse(int pipeline, byte[] content)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        try
        {
            Restore(pipeline, content);
        }
        catch (Exception e) when (e is DataFormatException or IngestException)
        {
            // Told.
        }
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    private static void Restore(int pipeline, ReadOnlySpan<byte> content)
    {
        IteratorState state = new(content);
        using DatasetIterator<long> run = s_pipelines[pipeline]().Iterate();
        run.Restore(state);
        for (int i = 0; i < 50 && run.TryNext(out _); i++) { }
    }

    private readonly struct Ticket : IDisposable
    {
        private readonly int _number;

        public Ticket(int number) => _number = number;

        public void Dispose() => Console.Out.Flush();

        public override string ToString() => $"{_number}";
    }
}
