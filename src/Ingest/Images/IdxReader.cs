using System.Buffers.Binary;
using System.IO.Compression;
using System.Runtime.InteropServices;

namespace DistTrain.Ingest;

/// <summary>The element types of IDX files that <see cref="IdxReader"/> reads; the values are those in the files.</summary>
public enum IdxElementType
{
    /// <summary>Unsigned bytes.</summary>
    U8 = 0x08,

    /// <summary>Signed 32-bit integers.</summary>
    I32 = 0x0c,

    /// <summary>IEEE 754 single precision.</summary>
    F32 = 0x0d,
}

/// <summary>
/// Reads an IDX file, the format of MNIST and its kin: two zero bytes, element type, number of dimensions, the dimensions as big-endian u32, the elements
/// big-endian and row-major. Reads plain files and gzip (of one member), told apart by their first bytes. What the header says is checked against what is there: memory is
/// never allocated for elements that the file does not hold. Blocks while reading.
/// </summary>
public sealed class IdxReader : IDisposable
{
    private const int MaxDimensionCount = 8;
    private readonly Stream _stream;
    private readonly string _path;
    private readonly long _fileByteCount;
    private readonly bool _isCompressed;
    private readonly int[] _dimensions;
    private long _offset;

    /// <summary>Opens the file and reads its header.</summary>
    /// <exception cref="DataFormatException">It is no IDX file, or plain and of another size than its header says.</exception>
    /// <exception cref="IOException">It can't be read.</exception>
    public IdxReader(string path)
    {
        _path = path;
        FileStream file = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16, FileOptions.SequentialScan);
        try
        {
            _fileByteCount = file.Length;
            _isCompressed = IsGzip(file);
            _stream = _isCompressed ? new GZipStream(file, CompressionMode.Decompress) : file;
            (ElementType, _dimensions) = ReadHeader();
            ElementCount = CountElements();
            CheckFileSize();
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The type of the elements.</summary>
    public IdxElementType ElementType { get; }

    /// <summary>The extents, outermost first.</summary>
    public ReadOnlySpan<int> Dimensions => _dimensions;

    /// <summary>The product of the extents.</summary>
    public int ElementCount { get; }

    private int ElementByteCount => ElementType == IdxElementType.U8 ? 1 : 4;

    private int HeaderByteCount => 4 + (4 * _dimensions.Length);

    /// <summary>All elements of a file of unsigned bytes. A reader can be read once.</summary>
    /// <exception cref="DataFormatException">The file holds another type, is damaged, or holds less or more than its header says.</exception>
    public byte[] ReadBytes() => ReadElements(IdxElementType.U8);

    /// <summary>All elements of a file of 32-bit integers.</summary>
    /// <inheritdoc cref="ReadBytes"/>
    public int[] ReadInts()
    {
        byte[] bytes = ReadElements(IdxElementType.I32);
        int[] elements = new int[ElementCount];
        BinaryPrimitives.ReverseEndianness(MemoryMarshal.Cast<byte, int>(bytes), elements);
        return elements;
    }

    /// <summary>All elements of a file of 32-bit floats.</summary>
    /// <inheritdoc cref="ReadBytes"/>
    public float[] ReadFloats()
    {
        byte[] bytes = ReadElements(IdxElementType.F32);
        float[] elements = new float[ElementCount];
        BinaryPrimitives.ReverseEndianness(MemoryMarshal.Cast<byte, int>(bytes), MemoryMarshal.Cast<float, int>(elements.AsSpan()));
        return elements;
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _stream.Dispose();

    private static bool IsGzip(FileStream file)
    {
        Span<byte> magic = stackalloc byte[2];
        int read = file.ReadAtLeast(magic, 2, throwOnEndOfStream: false);
        file.Position = 0;
        return read == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    }

    private (IdxElementType, int[]) ReadHeader()
    {
        Span<byte> header = stackalloc byte[4 + (4 * MaxDimensionCount)];
        ReadHeaderPart(header[..4]);
        if (header[0] != 0 || header[1] != 0)
            throw Error(0, $"an IDX file starts with two zero bytes, found {header[0]:x2} {header[1]:x2}: no IDX file");
        IdxElementType type = (IdxElementType)header[2];
        if (!Enum.IsDefined(type)) throw Error(2, $"element type 0x{header[2]:x2}, expected 0x08 (u8), 0x0c (i32) or 0x0d (f32)");
        if (header[3] is 0 or > MaxDimensionCount) throw Error(3, $"{header[3]} dimensions, expected 1 to {MaxDimensionCount}");
        int[] dimensions = new int[header[3]];
        for (int i = 0; i < dimensions.Length; i++)
        {
            ReadHeaderPart(header[..4]);
            uint extent = BinaryPrimitives.ReadUInt32BigEndian(header);
            if (extent > int.MaxValue) throw Error(_offset - 4, $"dimension {i} is {extent}, expected at most {int.MaxValue}");
            dimensions[i] = (int)extent;
        }
        return (type, dimensions);
    }

    private int CountElements()
    {
        long count = 1;
        // A product that has once passed the limit must not come back under it by a later zero.
        foreach (int extent in _dimensions)
        {
            count *= extent;
            if (count * ElementByteCount > Array.MaxLength)
                throw Error(4, $"dimensions {string.Join('x', _dimensions)} make more than the {Array.MaxLength:N0} bytes that can be held");
        }
        return (int)count;
    }

    private void CheckFileSize()
    {
        long expected = HeaderByteCount + ((long)ElementCount * ElementByteCount);
        string says = $"dimensions {string.Join('x', _dimensions)} of {ElementType} make {expected:N0} bytes";
        // Deflate's best ratio is 1032:1 (RFC 1951: 258 bytes from two bits).
        if (_isCompressed && expected > 1032L * _fileByteCount)
            throw Error(4, $"{says}, more than {_fileByteCount:N0} compressed bytes can hold: damaged");
        if (!_isCompressed && expected != _fileByteCount)
            throw Error(4, $"{says}, the file has {_fileByteCount:N0}: {(expected > _fileByteCount ? "cut short" : "too long")}, or a damaged header");
    }

    private byte[] ReadElements(IdxElementType asked)
    {
        if (asked != ElementType) throw Error(2, $"the elements are {ElementType}, expected {asked}");
        int byteCount = ElementCount * ElementByteCount;
        // In a compressed file the header can't be checked beforehand: memory grows as elements come.
        int first = _isCompressed ? (int)Math.Min(byteCount, Math.Max(1 << 16, 16 * _fileByteCount)) : byteCount;
        byte[] bytes = GC.AllocateUninitializedArray<byte>(first);
        for (int done = 0; done < byteCount;)
        {
            if (done == bytes.Length) Array.Resize(ref bytes, (int)Math.Min(byteCount, 2L * bytes.Length));
            int read = Read(bytes.AsSpan(done));
            if (read == 0) throw Error(_offset, $"the data end after {done:N0} of {byteCount:N0} bytes of elements: cut short");
            done += read;
        }
        Span<byte> extra = stackalloc byte[1];
        if (Read(extra) != 0) throw Error(_offset - 1, $"more data than the {ElementCount:N0} elements of the header: damaged");
        if (_stream is GZipStream gzip) GzipTrailer.Check((FileStream)gzip.BaseStream, _path, _offset);
        return bytes;
    }

    private void ReadHeaderPart(Span<byte> part)
    {
        for (int done = 0; done < part.Length;)
        {
            int read = Read(part[done..]);
            if (read == 0) throw Error(_offset, "the file ends inside the header: cut short");
            done += read;
        }
    }

    private int Read(Span<byte> destination)
    {
        try
        {
            int read = _stream.Read(destination);
            _offset += read;
            return read;
        }
        catch (InvalidDataException cause)
        {
            throw new DataFormatException(_path, _offset, $"the gzip data are damaged or cut short ({cause.Message})", cause);
        }
    }

    private DataFormatException Error(long offset, string problem) =>
        new(_path, offset, _isCompressed ? problem + " (offset in the decompressed data)" : problem);
}
