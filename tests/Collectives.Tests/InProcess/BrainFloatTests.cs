using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Collectives.Tests;

/// <summary>Sums of bf16 by vectors have the bits of sums one by one: formed in f32, rounded once to the nearest, ties to even, a NaN stays one.</summary>
public sealed class BrainFloatTests
{
    [Theory]
    [InlineData(0x0000)] // 0
    [InlineData(0x3F81)] // 1.0078125
    [InlineData(0xC37F)] // -255
    [InlineData(0x7F7F)] // the largest
    [InlineData(0xFF80)] // -infinity
    [InlineData(0x7FA0)] // a signalling NaN
    [InlineData(0x0001)] // the least
    public void Any_two_numbers_add_to_the_rounded_sum(int right)
    {
        // All 65,536 numbers, and some more, so that there is a rest behind the vectors.
        ushort[] left = [.. Enumerable.Range(0, 65_536 + 13).Select(i => (ushort)i)];
        ushort[][] found = new ushort[2][];
        ICommunicator[] all = Communicator.InProcess(2, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(30) });
        RankThreads.Run(2, rank =>
        {
            using CpuDevice device = new("cpu", InstructionSet.Vector128, 1);
            using ICommunicator communicator = all[rank];
            ushort[] own = rank == 0 ? left : [.. left.Select(_ => (ushort)right)];
            using Tensor tensor = Tensor.From(device.DefaultStream, own, new Shape(own.Length));
            communicator.AllReduce(device.DefaultStream, tensor);
            found[rank] = [.. tensor.ToArray<ushort>(device.DefaultStream)];
            communicator.Barrier(device.DefaultStream);
        }, failure => failure is CommunicatorLostException);

        ushort[] expected = [.. left.Select(bits => Narrow(Widen(bits) + Widen((ushort)right)))];
        Assert.Equal(expected.Select(IsNaN), found[0].Select(IsNaN));
        Assert.Equal(expected.Where(bits => !IsNaN(bits)), found[0].Where(bits => !IsNaN(bits)));
        Assert.Equal(found[0], found[1]);
    }

    private static bool IsNaN(ushort bits) => (bits & 0x7FFF) > 0x7F80;

    private static float Widen(ushort bits) => BitConverter.UInt32BitsToSingle((uint)bits << 16);

    // By the nearer of the two neighbours, in double precision.
    private static ushort Narrow(float value)
    {
        if (!float.IsFinite(value)) return (ushort)((BitConverter.SingleToUInt32Bits(value) >> 16) | (float.IsNaN(value) ? 0x40u : 0u));
        ushort down = (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16), up = (ushort)(down + 1);
        // Beyond the largest comes what would be the next number.
        double above = (up & 0x7FFF) == 0x7F80 ? Math.CopySign(Math.ScaleB(1, 128), value) : Widen(up);
        double below = Math.Abs(value - (double)Widen(down)), rest = Math.Abs(above - value);
        return below < rest || (below == rest && (down & 1) == 0) ? down : up;
    }
}
