namespace DistTrain.Ingest.Tests;

public sealed class ElementRandomTests
{
    // Computed elsewhere (CPython's own logarithm and cosine, rounded to 32 bits).
    [Fact]
    public void Normal_numbers_have_the_same_bits_on_every_machine()
    {
        ElementRandom random = new(1, 2, 3);
        uint[] bits = [.. Enumerable.Range(0, 8).Select(_ => BitConverter.SingleToUInt32Bits(random.NextNormal()))];
        Assert.Equal([0xbff40469u, 0x3f9577b7u, 0x400ea5e9u, 0x3fdaf5ddu, 0x3f2c236eu, 0xbf90bcb9u, 0x3f01dca1u, 0xbe100b9eu], bits);
    }

    [Fact]
    public void Normal_numbers_are_those_of_the_formula()
    {
        for (int i = 0; i < 10_000; i++)
        {
            ElementRandom random = new(7, 0, i), same = new(7, 0, i);
            double radius = Math.Sqrt(-2 * Math.Log(1 - same.NextDouble())), expected = radius * Math.Cos(2 * Math.PI * same.NextDouble());
            Assert.InRange(random.NextNormal(), expected - 1e-6, expected + 1e-6);
        }
    }
}
