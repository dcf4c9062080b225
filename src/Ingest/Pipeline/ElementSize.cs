using System.Runtime.CompilerServices;

namespace DistTrain.Ingest;

/// <summary>An element that knows how many bytes it holds, for memory budgets and statistics.</summary>
public interface ISized
{
    /// <summary>Bytes held, the object itself left out.</summary>
    long ByteCount { get; }
}

/// <summary>How many bytes an element holds, as well as can be told without walking through it.</summary>
internal static class ElementSize<T>
{
    // What an object of unknown content is taken for.
    private const int Unknown = 64;

    private static readonly bool s_isPlain = !RuntimeHelpers.IsReferenceOrContainsReferences<T>();

    internal static long Of(in T element)
    {
        if (s_isPlain) return Unsafe.SizeOf<T>();
        return element switch
        {
            ISized sized => sized.ByteCount,
            string text => 2L * text.Length,
            Array array => (long)array.Length * ItemSize(array),
            ReadOnlyMemory<byte> memory => memory.Length,
            _ => Unknown,
        };
    }

    private static long ItemSize(Array array) => array switch
    {
        byte[] or sbyte[] or bool[] => 1,
        short[] or ushort[] or char[] or Half[] => 2,
        int[] or uint[] or float[] => 4,
        long[] or ulong[] or double[] => 8,
        _ => Unknown,
    };
}
