using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Reads safetensors files (huggingface/safetensors: u64 header length, JSON header, raw little-endian row-major data). Opening reads and checks the header only;
/// elements are read when asked for, straight to where they belong. A hostile file gives a <see cref="SafetensorsException"/>, never more memory than a
/// small multiple of its own size. Thread-safe for reading. Blocks while reading.
/// </summary>
public sealed unsafe class SafetensorsReader : IDisposable
{
    private const int StagingByteCount = 4 << 20;
    private readonly ICheckpointFile _file;
    private readonly Dictionary<string, SafetensorsEntry> _byName;

    private SafetensorsReader(string path, ICheckpointFile file, SafetensorsHeader header)
    {
        Path = path;
        _file = file;
        Entries = header.Entries;
        Metadata = header.Metadata;
        _byName = header.Entries.ToDictionary(entry => entry.Name, StringComparer.Ordinal);
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Its tensors, in the order of their data.</summary>
    public IReadOnlyList<SafetensorsEntry> Entries { get; }

    /// <summary>The strings that the file carries beside its tensors (<c>__metadata__</c>).</summary>
    public IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="SafetensorsException">It is damaged or no such file.</exception>
    /// <exception cref="IOException">It can't be read.</exception>
    public static SafetensorsReader Open(string path) => Open(path, LocalFileSystem.OpenExisting(path));

    /// <summary>The same of a file that is open already, and goes with the reader.</summary>
    internal static SafetensorsReader Open(string path, ICheckpointFile file)
    {
        try
        {
            return new SafetensorsReader(path, file, ReadHeader(file, path));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>What the file says of one tensor; null if it has none of that name.</summary>
    public SafetensorsEntry? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Reads a tensor's elements into host memory.</summary>
    /// <param name="name">Which.</param>
    /// <param name="elements">As many as the tensor has; <c>ushort</c> for BF16.</param>
    /// <exception cref="SafetensorsException">No such tensor, another element type, or the file has become shorter.</exception>
    /// <exception cref="ArgumentException">Another number of elements.</exception>
    public void Read<T>(string name, Span<T> elements) where T : unmanaged
    {
        SafetensorsEntry entry = Require(name);
        if (entry.DType != DTypes.Of<T>())
            throw new SafetensorsException(Path, $"is {entry}, asked for as {SafetensorsDType.NameOf(DTypes.Of<T>())}", name);
        if (elements.Length != entry.ByteCount / sizeof(T))
            throw new ArgumentException($"{Path}, tensor '{name}': {entry} has {entry.ByteCount / sizeof(T)} elements, the span has {elements.Length}", nameof(elements));
        ReadBytes(entry, 0, MemoryMarshal.AsBytes(elements));
    }

    /// <summary>Reads a tensor into a new one on the stream's device; the caller disposes it.</summary>
    /// <exception cref="SafetensorsException">No such tensor, or of a type or shape that tensors here can't have.</exception>
    /// <exception cref="OutOfDeviceMemoryException">The device has no room.</exception>
    public Tensor Load(ExecutionStream stream, string name)
    {
        SafetensorsEntry entry = Require(name);
        Tensor tensor = Tensor.Allocate(stream, ShapeOf(entry), DTypeOf(entry));
        try
        {
            Fill(stream, entry, tensor);
            return tensor;
        }
        catch
        {
            tensor.Dispose();
            throw;
        }
    }

    /// <summary>Reads a tensor into an existing one of the same type and shape, on any device.</summary>
    /// <exception cref="SafetensorsException">No such tensor, or of another type or shape.</exception>
    public void LoadInto(ExecutionStream stream, string name, Tensor destination)
    {
        ArgumentNullException.ThrowIfNull(destination);
        SafetensorsEntry entry = Require(name);
        if (DTypeOf(entry) != destination.DType || ShapeOf(entry) != destination.Shape)
            throw new SafetensorsException(Path, $"the file has {entry}, expected {SafetensorsDType.NameOf(destination.DType)} {destination.Shape}: the weights of another model", name);
        Fill(stream, entry, destination);
    }

    /// <summary>Closes the file.</summary>
    public void Dispose() => _file.Dispose();

    private static SafetensorsHeader ReadHeader(ICheckpointFile file, string path)
    {
        long fileByteCount = file.ByteCount;
        Span<byte> prefix = stackalloc byte[SafetensorsHeader.LengthByteCount];
        if (fileByteCount < prefix.Length || !TryReadExactly(file, prefix, 0))
            throw new SafetensorsException(path, $"the file has {fileByteCount} bytes, a safetensors file begins with the {prefix.Length} bytes of its header's length", null, 0);
        ulong headerByteCount = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (headerByteCount > SafetensorsHeader.MaxByteCount)
            throw new SafetensorsException(path, $"a header of {headerByteCount} bytes, the format allows {SafetensorsHeader.MaxByteCount}; this is no safetensors file", null, 0);
        if ((long)headerByteCount > fileByteCount - prefix.Length)
            throw new SafetensorsException(path, $"a header of {headerByteCount} bytes in a file of {fileByteCount}: cut short, or no safetensors file", null, 0);
        byte[] header = GC.AllocateUninitializedArray<byte>((int)headerByteCount);
        if (!TryReadExactly(file, header, prefix.Length)) throw new SafetensorsException(path, "the file became shorter while it was read", null, prefix.Length);
        return SafetensorsHeader.Parse(header, path, fileByteCount);
    }

    internal SafetensorsEntry Require(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Find(name) ?? throw new SafetensorsException(Path, $"the file has no such tensor among its {Entries.Count}.{NearestName.Hint(name, _byName.Keys)}", name);
    }

    private DType DTypeOf(SafetensorsEntry entry) => entry.DType
        ?? throw new SafetensorsException(Path, $"{entry.DTypeName} can't be loaded, only F32, I32, F16, BF16, F64 and I64 can; convert the file first", entry.Name);

    private Shape ShapeOf(SafetensorsEntry entry)
    {
        if (entry.Extents.Length > Shape.MaxDimensionCount || entry.Extents.Any(extent => extent > int.MaxValue))
            throw new SafetensorsException(Path, $"{entry} can't be loaded: tensors have at most {Shape.MaxDimensionCount} dimensions of at most {int.MaxValue}", entry.Name);
        return new Shape([.. entry.Extents.Select(extent => (int)extent)]);
    }

    private void Fill(ExecutionStream stream, SafetensorsEntry entry, Tensor destination)
    {
        if (destination.Device is CpuDevice)
        {
            stream.Synchronize();
            for (long done = 0; done < entry.ByteCount; done += StagingByteCount)
                ReadBytes(entry, done, new Span<byte>((byte*)destination.Pointer + done, (int)Math.Min(StagingByteCount, entry.ByteCount - done)));
            return;
        }
        byte[] staging = ArrayPool<byte>.Shared.Rent((int)Math.Min(StagingByteCount, entry.ByteCount));
        try
        {
            for (long done = 0; done < entry.ByteCount; done += StagingByteCount)
            {
                Span<byte> part = staging.AsSpan(0, (int)Math.Min(StagingByteCount, entry.ByteCount - done));
                ReadBytes(entry, done, part);
                TensorBytes.CopyIn(stream, destination, done, part);
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(staging);
        }
    }

    private void ReadBytes(SafetensorsEntry entry, long from, Span<byte> destination)
    {
        if (!TryReadExactly(_file, destination, entry.Offset + from))
            throw new SafetensorsException(Path, "the file ends inside the tensor: it became shorter after it was opened", entry.Name, entry.Offset + from);
    }

    private static bool TryReadExactly(ICheckpointFile file, Span<byte> destination, long offset)
    {
        while (destination.Length > 0)
        {
            int read = file.Read(destination, offset);
            if (read == 0) return false;
            destination = destination[read..];
            offset += read;
        }
        return true;
    }
}
