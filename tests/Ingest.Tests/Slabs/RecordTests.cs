using System.Buffers;

namespace DistTrain.Ingest.Tests;

public sealed class RecordTests
{
    [Fact]
    public void Equal_is_the_same_lease_on_the_same_bytes()
    {
        using SlabPool pool = new(1 << 16);
        Slab slab = pool.Rent(1);
        Record record = new(slab, slab.Origin, 3, "f", 10, 1), same = record, other = new(slab, slab.Origin + 1, 3, "f", 10, 1), retained = record.Retain();
        Assert.True(record == same && record.GetHashCode() == same.GetHashCode());
        Assert.True(record != other && record != retained && record != default);
        Assert.Equal(new SourceLocation("f", 10, 1), retained.Source);
        record.Dispose();
        Assert.Equal(3, retained.Span.Length);
        retained.Dispose();
        Assert.Equal(0, pool.OutstandingCount);
    }

    [Fact]
    public void A_map_that_keeps_gives_on_or_copies_its_record_leaks_no_lease()
    {
        using TemporaryFolder folder = new();
        string file = folder.Write("a", [1, 2, 3, 4, 5]);
        Dataset<Record> records = Dataset.FromFixedLength(file, 1);
        foreach (Dataset<Record> mapped in (Dataset<Record>[])[records.Map(r => r), records.Map(r => r.Retain()), records.Map(r => r.Detach()), records.Map(r => r.Slice(0, 1)), records.Map(r => r.Retain(), 2)])
            Assert.Equal(["01", "02", "03", "04", "05"], RecordRuns.All(mapped));
        Assert.Equal(["0A"], RecordRuns.All(records.Filter(r => r.Span[0] == 2).Map(r => Record.Copy([10], r.Source)), isInOrder: false));
    }

    [Fact]
    public void A_part_is_checked_against_the_record_not_the_slab()
    {
        Record record = Record.Copy([1, 2, 3]);
        Assert.Equal([2, 3], record.Slice(1, 2).Span.ToArray());
        Assert.Equal(0, record.Slice(3, 0).Length);
        Assert.Throws<ArgumentOutOfRangeException>(() => record.Slice(1, 3));
        Assert.Throws<ArgumentOutOfRangeException>(() => record.Slice(-1, 1));
        Assert.Throws<ArgumentOutOfRangeException>(() => record.Slice(4, 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => record.Slice(0, -1));
    }

    [Fact]
    public void A_copy_lives_by_itself_and_nothing_at_all_is_an_empty_record()
    {
        Record copy = Record.Copy([1, 2], new SourceLocation("f", 5, 6));
        Assert.Equal((2, "f, byte 5, record 6"), (copy.Length, copy.Source.ToString()));
        copy.Dispose();
        Record nothing = default;
        Assert.Equal(0, nothing.Span.Length + nothing.Memory.Length + nothing.Length);
        Assert.Equal(SourceLocation.None, nothing.Source);
        nothing.Dispose();
        nothing.Dispose();
    }

    [Fact]
    public void A_record_is_written_into_states_and_caches_as_its_bytes()
    {
        ArrayBufferWriter<byte> bytes = new();
        Record.Copy([1, 2, 3]).Encode(bytes);
        Assert.Equal([1, 2, 3], bytes.WrittenSpan.ToArray());
        Assert.Equal([1, 2, 3], Record.Decode(bytes.WrittenSpan).Span.ToArray());
    }
}
