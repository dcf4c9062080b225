using CsCheck;
using Google.Protobuf;

namespace DistTrain.Ingest.Tests;

public sealed class PackedVarintsTests
{
    private static readonly Gen<long> s_value = Gen.Frequency((8, Gen.Long[0, 127]), (3, Gen.Long[0, 1L << 40]), (1, Gen.Long));

    [Fact]
    public void Numbers_are_counted_and_decoded_as_google_writes_them() => s_value.Array[0, 200].Sample(values =>
    {
        byte[] packed = Write(values);
        long[] decoded = new long[values.Length];
        Assert.Equal(values.Length, PackedVarints.Count(packed, out _));
        Assert.Equal(packed.Length, PackedVarints.Decode(packed, decoded));
        Assert.Equal(values, decoded);
        Assert.Equal(packed.Length, values.Sum(PackedVarints.ByteCount));
    });

    [Fact]
    public void As_many_are_decoded_as_there_is_room_for() => Gen.Select(s_value.Array[1, 40], Gen.Int[0, 40]).Sample((values, room) =>
    {
        long[] decoded = new long[Math.Min(room, values.Length)];
        Assert.Equal(Write(values[..decoded.Length]).Length, PackedVarints.Decode(Write(values), decoded));
        Assert.Equal(values[..decoded.Length], decoded);
    });

    // Runs of every length at every place, beside a plain reading of the rule.
    [Fact]
    public void A_number_of_more_than_ten_bytes_or_without_an_end_is_found_wherever_it_lies()
    {
        for (int before = 0; before < 80; before++)
        {
            for (int run = 0; run < 14; run++)
            {
                foreach (int after in (int[])[0, 1, 2, 40])
                {
                    byte[] packed = [.. new byte[before], .. Enumerable.Repeat((byte)0x80, run), .. new byte[after]];
                    bool isRight = run == 0 || (run < 10 && after > 0);
                    int expected = isRight ? before + after : -1;
                    Assert.Equal(expected, PackedVarints.Count(packed, out int fault));
                    if (!isRight) Assert.Equal(before, fault);
                }
            }
        }
    }

    private static byte[] Write(long[] values)
    {
        using MemoryStream stream = new();
        using CodedOutputStream output = new(stream);
        foreach (long value in values) output.WriteInt64(value);
        output.Flush();
        return stream.ToArray();
    }
}
