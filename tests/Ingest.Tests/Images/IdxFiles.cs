using System.Buffers.Binary;

namespace DistTrain.Ingest.Tests;

/// <summary>Makes IDX files by the format's description.</summary>
internal static class IdxFiles
{
    public static byte[] Bytes(int[] dimensions, byte[] elements, byte type = 0x08)
    {
        byte[] file = new byte[4 + (4 * dimensions.Length) + elements.Length];
        (file[2], file[3]) = (type, (byte)dimensions.Length);
        for (int i = 0; i < dimensions.Length; i++) BinaryPrimitives.WriteInt32BigEndian(file.AsSpan(4 + (4 * i)), dimensions[i]);
        elements.CopyTo(file, 4 + (4 * dimensions.Length));
        return file;
    }
}
