using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Collectives.Tests;

/// <summary>Replicas in one process and processes over shared memory reduce by different code, managed and native, and must give the same bits: for values that round, overflow and are no numbers too.</summary>
public sealed class TransportBitsTests
{
    private static readonly int[] s_sizes = [1, 15, 64, 1001, 3000];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(8)]
    public void Any_bits_reduce_to_the_same_bits_in_one_process_and_over_shared_memory(int worldSize)
    {
        if (!ShimLibrary.TryLoad(out string problem)) Assert.Skip(problem);
        List<(string What, byte[] Bits)> inProcess = Results(WorldKind.InProcess, worldSize), sharedMemory = Results(WorldKind.SharedMemory, worldSize);
        Assert.Equal(inProcess.Count, sharedMemory.Count);
        string[] different = [.. inProcess.Zip(sharedMemory).Where(pair => !pair.First.Bits.AsSpan().SequenceEqual(pair.Second.Bits)).Select(pair => Difference(pair.First, pair.Second))];
        Assert.Empty(different);
    }

    // Of every rank, in the order of the calls.
    private static List<(string What, byte[] Bits)> Results(WorldKind kind, int worldSize)
    {
        List<(string, byte[])>[] byRank = [.. Enumerable.Range(0, worldSize).Select(_ => new List<(string, byte[])>())];
        World.Run(kind, worldSize, new CommunicatorOptions { Timeout = TimeSpan.FromSeconds(60) }, (communicator, device) =>
        {
            foreach (DType dtype in TestValues.Types)
                foreach (ReduceOp op in Enum.GetValues<ReduceOp>())
                    foreach (int size in s_sizes)
                    {
                        using Tensor tensor = Tensor.Allocate(device.DefaultStream, new Shape(size), dtype);
                        Fill(tensor, communicator.Rank);
                        communicator.AllReduce(device.DefaultStream, tensor, op);
                        byRank[communicator.Rank].Add(($"{dtype} {op} of {size} on rank {communicator.Rank}", Bits(tensor)));
                    }
        });
        return [.. byRank.SelectMany(results => results)];
    }

    // Every pattern of bits may come: sub-normal numbers, infinities and, for types of 16 bits often, NaNs; zeros of both signs by hand.
    private static void Fill(Tensor tensor, int rank)
    {
        Random random = new((rank * 1000) + (int)tensor.ElementCount + (int)tensor.DType);
        Span<byte> bytes = Span(tensor);
        random.NextBytes(bytes);
        int elementSize = tensor.DType.ByteSize();
        for (int i = 0; i < tensor.ElementCount; i += 1 + random.Next(6))
        {
            Span<byte> element = bytes.Slice(i * elementSize, elementSize);
            element.Clear();
            if (random.Next(2) == 0) element[^1] = 0x80;
        }
    }

    private static string Difference((string What, byte[] Bits) left, (string What, byte[] Bits) right)
    {
        int at = Enumerable.Range(0, left.Bits.Length).First(i => left.Bits[i] != right.Bits[i]), from = at / 8 * 8, to = Math.Min(from + 8, left.Bits.Length);
        return $"{left.What}: byte {at}, {Convert.ToHexString(left.Bits[from..to])} in one process, {Convert.ToHexString(right.Bits[from..to])} over shared memory";
    }

    private static byte[] Bits(Tensor tensor) => Canonical(tensor.DType, Span(tensor).ToArray());

    // Which of several NaNs comes out is a matter of the processor's operand order; that one comes out is not.
    private static byte[] Canonical(DType dtype, byte[] bits)
    {
        switch (dtype)
        {
            case DType.F32: Canonical<float>(bits, float.IsNaN, float.NaN); break;
            case DType.F64: Canonical<double>(bits, double.IsNaN, double.NaN); break;
            case DType.F16: Canonical<Half>(bits, Half.IsNaN, Half.NaN); break;
            case DType.BF16: Canonical<ushort>(bits, value => (value & 0x7FFF) > 0x7F80, 0x7FC0); break;
        }
        return bits;
    }

    private static void Canonical<T>(byte[] bits, Func<T, bool> isNaN, T nan) where T : unmanaged
    {
        foreach (ref T value in MemoryMarshal.Cast<byte, T>(bits.AsSpan()))
            if (isNaN(value)) value = nan;
    }

    private static Span<byte> Span(Tensor tensor) => tensor.DType switch
    {
        DType.F32 => MemoryMarshal.AsBytes(tensor.AsSpan<float>()),
        DType.F64 => MemoryMarshal.AsBytes(tensor.AsSpan<double>()),
        DType.I32 => MemoryMarshal.AsBytes(tensor.AsSpan<int>()),
        DType.I64 => MemoryMarshal.AsBytes(tensor.AsSpan<long>()),
        DType.F16 => MemoryMarshal.AsBytes(tensor.AsSpan<Half>()),
        _ => MemoryMarshal.AsBytes(tensor.AsSpan<ushort>()),
    };
}
