namespace DistTrain.Ingest;

/// <summary>
/// Arithmetic modulo the polynomial of CRC-32C over GF(2). A polynomial of degree under 32 is held as CRC registers hold it, reflected: bit i is the
/// coefficient of x^(31 - i).
/// </summary>
internal static class Crc32CPolynomial
{
    private const uint One = 1u << 31, X = 1u << 30;

    /// <summary>x^<paramref name="exponent"/>.</summary>
    internal static uint PowerOfX(long exponent)
    {
        uint power = One;
        for (uint square = X; exponent > 0; exponent >>= 1, square = Multiply(square, square))
            if ((exponent & 1) != 0) power = Multiply(power, square);
        return power;
    }

    /// <summary>The product, by long multiplication.</summary>
    internal static uint Multiply(uint a, uint b)
    {
        uint product = 0;
        for (int bit = 31; bit >= 0; bit--)
        {
            if ((a >> bit & 1) != 0) product ^= b;
            b = (b >> 1) ^ ((b & 1) != 0 ? Crc32CTables.Polynomial : 0);
        }
        return product;
    }
}
