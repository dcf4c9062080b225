using CsCheck;

namespace DistTrain.Collectives.Tests;

/// <summary>Chunks cover all elements once, are even but for one unit, and begin on units.</summary>
public sealed class ChunkLayoutTests
{
    [Theory]
    [InlineData(10, 3, 1, new long[] { 4, 3, 3 })]
    [InlineData(3, 5, 1, new long[] { 1, 1, 1, 0, 0 })]
    [InlineData(0, 2, 1, new long[] { 0, 0 })]
    [InlineData(100, 3, 16, new long[] { 48, 32, 20 })]
    [InlineData(10, 2, 16, new long[] { 10, 0 })]
    public void Elements_are_cut_as_even_as_can_be(long elements, int chunks, int unit, long[] lengths)
    {
        ChunkLayout layout = new(elements, chunks, unit);
        Assert.Equal(lengths, Enumerable.Range(0, chunks).Select(layout.Length));
    }

    [Fact]
    public void Chunks_cover_all_elements_once_whatever_the_numbers() =>
        Gen.Select(Gen.Long[0, 1_000_000_000_000], Gen.Int[1, 300], Gen.Int[1, 128]).Sample((elements, chunks, unit) =>
        {
            ChunkLayout layout = new(elements, chunks, unit);
            long[] lengths = [.. Enumerable.Range(0, chunks).Select(layout.Length)];
            Assert.Equal(elements, lengths.Sum());
            Assert.All(lengths, length => Assert.True(length >= 0));
            Assert.True(lengths.Max() - lengths.Min() <= 2L * unit);
            Assert.All(Enumerable.Range(0, chunks), c => Assert.True(layout.Offset(c) % unit == 0 || layout.Offset(c) == elements));
        });

    [Fact]
    public void Sizes_near_the_limit_do_not_overflow() => Assert.Equal(long.MaxValue, new ChunkLayout(long.MaxValue, 7, 64).Offset(7));
}
