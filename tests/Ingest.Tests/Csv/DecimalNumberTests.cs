using System.Globalization;
using System.Text;
using CsCheck;

namespace DistTrain.Ingest.Tests;

public sealed class DecimalNumberTests
{
    [Theory]
    [InlineData("0")]
    [InlineData("-0")]
    [InlineData("-0.0")]
    [InlineData("1.")]
    [InlineData(".5")]
    [InlineData("-1.25")]
    [InlineData("16777217")]
    [InlineData("16777219.0")]
    [InlineData("9007199254740993")]
    [InlineData("999999999999999999")]
    [InlineData("0.000000000000000001")]
    [InlineData("1e3")]
    [InlineData("NaN")]
    [InlineData("Infinity")]
    [InlineData("1.00000017881393421514957253748434595763683319091796875001")]
    public void Numbers_are_read_as_the_runtime_reads_them(string text) => AssertAsRuntime(text);

    [Theory]
    [InlineData("")]
    [InlineData("-")]
    [InlineData(".")]
    [InlineData("1,5")]
    [InlineData("1 000")]
    [InlineData("1.2.3")]
    [InlineData("0x10")]
    [InlineData("--1")]
    public void What_is_no_number_is_refused(string text)
    {
        Assert.False(DecimalNumber.TryParse(Encoding.UTF8.GetBytes(text), out float _));
        Assert.False(DecimalNumber.TryParse(Encoding.UTF8.GetBytes(text), out double _));
    }

    [Fact]
    public void Any_digits_are_rounded_as_the_runtime_rounds_them() =>
        Gen.Select(Gen.Bool, Gen.Long[0, long.MaxValue], Gen.Int[1, 19], Gen.Int[-1, 19]).Sample((isNegative, digits, length, point) =>
        {
            string text = digits.ToString(CultureInfo.InvariantCulture).PadLeft(19, '0')[..length];
            if (point >= 0 && point <= length) text = text.Insert(point, ".");
            AssertAsRuntime(isNegative ? "-" + text : text);
        }, iter: 8_000);

    // The doubles between two floats, and their neighbours, written out in full.
    [Fact]
    public void Ties_between_two_floats_are_rounded_as_the_runtime_rounds_them() =>
        Gen.Select(Gen.Int[0, (1 << 23) - 1], Gen.Int[-30, 30], Gen.Int[-1, 1]).Sample((mantissa, exponent, off) =>
            AssertAsRuntime(((decimal)(((1 << 24) + (2 * (double)mantissa) + 1) * Math.Pow(2, exponent - 24)) + (off * 0.0000000000001m)).ToString(CultureInfo.InvariantCulture)), iter: 8_000);

    private static void AssertAsRuntime(string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Assert.True(DecimalNumber.TryParse(bytes, out float single));
        Assert.True(DecimalNumber.TryParse(bytes, out double wide));
        Assert.Equal(BitConverter.SingleToInt32Bits(float.Parse(text, CultureInfo.InvariantCulture)), BitConverter.SingleToInt32Bits(single));
        Assert.Equal(BitConverter.DoubleToInt64Bits(double.Parse(text, CultureInfo.InvariantCulture)), BitConverter.DoubleToInt64Bits(wide));
    }
}
