using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// Keeps record indices on disk: <c>NAME.dtindex</c> beside the data, or in a folder for those whose folder can't be written. An index is believed only if
/// its own checksum is right and the data have the length and the time of their last change that it was made for; else it is made anew.
/// Little-endian: magic, version, format (8 bytes of ASCII), the data's length, their time in ticks of 100 ns since the year 1, the number of records, CRC-32C of all but these
/// 4 bytes, 4 bytes of nothing; then the offset of each record and of the end, u64.
/// </summary>
internal sealed class RecordIndexFile
{
    /// <summary>What the names of indices end with.</summary>
    internal const string Extension = ".dtindex";

    private const uint Magic = 0x58494454; // "DTIX"
    private const uint Version = 1;
    private const int HeaderByteCount = 48, CrcAt = 40, FormatByteCount = 8;

    // Spans of bytes end at 2^31: an index of more than 2^28 records is longer. Also what is still in the cache when it has been checksummed.
    private const int PieceCount = 1 << 14;

    private readonly ulong _format;
    private readonly long _dataLength, _dataTime;
    private readonly string[] _paths;

    /// <param name="dataPath">The local file that is indexed.</param>
    /// <param name="format">What the records are: up to 8 letters of ASCII.</param>
    /// <param name="dataLength">The file's length.</param>
    /// <param name="dataTime">The file's last change.</param>
    /// <param name="folder"><see cref="IngestOptions.IndexFolder"/>.</param>
    internal RecordIndexFile(string dataPath, string format, long dataLength, DateTime dataTime, string? folder)
    {
        Span<byte> letters = stackalloc byte[FormatByteCount];
        letters.Clear();
        Encoding.ASCII.GetBytes(format, letters);
        _format = BinaryPrimitives.ReadUInt64LittleEndian(letters);
        _dataLength = dataLength;
        _dataTime = dataTime.Ticks;
        string full = Path.GetFullPath(dataPath);
        _paths = folder is not null ? [InFolder(folder, full)] : [full + Extension, InFolder(Path.Combine(DataSetCatalog.DefaultCacheFolder, "indices"), full)];
    }

    /// <summary>Where the index may lie, the first choice first.</summary>
    internal IReadOnlyList<string> Paths => _paths;

    /// <summary>The index, if there is a good one.</summary>
    internal ListedRecordIndex? Load()
    {
        foreach (string path in _paths)
        {
            try
            {
                if (File.Exists(path) && Parse(path) is { } index) return index;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // As good as none.
            }
        }
        return null;
    }

    /// <summary>Writes an index where it can be written: whole or not at all. An index that can't be kept is no error: it is made again next time.</summary>
    /// <returns>Where it was written; null if nowhere.</returns>
    internal string? Save(ListedRecordIndex index)
    {
        foreach (string path in _paths)
        {
            string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
            try
            {
                if (path != _paths[0] || _paths.Length == 1) Directory.CreateDirectory(Path.GetDirectoryName(path)!);
                Write(temporary, index);
                File.Move(temporary, path, overwrite: true);
                return path;
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                TryDelete(temporary);
            }
        }
        return null;
    }

    // Two files of the same name in different folders are told apart by the whole path.
    private static string InFolder(string folder, string full)
    {
        Span<byte> hash = stackalloc byte[32];
        System.Security.Cryptography.SHA256.HashData(Encoding.UTF8.GetBytes(full), hash);
        return Path.Combine(folder, $"{Path.GetFileName(full)}-{Convert.ToHexStringLower(hash[..8])}.dtindex");
    }

    private void Write(string path, ListedRecordIndex index)
    {
        byte[] header = new byte[HeaderByteCount];
        FillHeader(header, index.Count);
        uint crc = Crc32C.Compute(header.AsSpan(0, CrcAt));
        using FileStream file = new(path, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16);
        file.Position = HeaderByteCount;
        for (ReadOnlySpan<long> left = index.Offsets; !left.IsEmpty; left = left[Math.Min(left.Length, PieceCount)..])
        {
            ReadOnlySpan<byte> piece = AsLittleEndian(left[..Math.Min(left.Length, PieceCount)]);
            crc = Crc32C.Append(crc, piece);
            file.Write(piece);
        }
        BinaryPrimitives.WriteUInt32LittleEndian(header.AsSpan(CrcAt), crc);
        file.Position = 0;
        file.Write(header);
        file.Flush(flushToDisk: true);
    }

    private static ReadOnlySpan<byte> AsLittleEndian(ReadOnlySpan<long> offsets)
    {
        if (BitConverter.IsLittleEndian) return MemoryMarshal.AsBytes(offsets);
        long[] swapped = new long[offsets.Length];
        BinaryPrimitives.ReverseEndianness(offsets, swapped);
        return MemoryMarshal.AsBytes(swapped.AsSpan());
    }

    private void FillHeader(Span<byte> header, long count)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(header, Magic);
        BinaryPrimitives.WriteUInt32LittleEndian(header[4..], Version);
        BinaryPrimitives.WriteUInt64LittleEndian(header[8..], _format);
        BinaryPrimitives.WriteInt64LittleEndian(header[16..], _dataLength);
        BinaryPrimitives.WriteInt64LittleEndian(header[24..], _dataTime);
        BinaryPrimitives.WriteInt64LittleEndian(header[32..], count);
    }

    // Null for what is stale or damaged in whatever way.
    private ListedRecordIndex? Parse(string path)
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(path);
        long length = RandomAccess.GetLength(file);
        byte[] header = new byte[HeaderByteCount], expected = new byte[HeaderByteCount];
        if (!TryRead(file, header, 0)) return null;
        long count = BinaryPrimitives.ReadInt64LittleEndian(header.AsSpan(32));
        FillHeader(expected, count);
        if (!header.AsSpan(0, CrcAt).SequenceEqual(expected.AsSpan(0, CrcAt)) || count < 0 || count >= Array.MaxLength || length != HeaderByteCount + (sizeof(long) * (count + 1))) return null;
        long[] offsets = new long[count + 1];
        uint crc = Crc32C.Compute(header.AsSpan(0, CrcAt));
        for (int i = 0; i < offsets.Length; i += PieceCount)
        {
            Span<byte> piece = MemoryMarshal.AsBytes(offsets.AsSpan(i, Math.Min(PieceCount, offsets.Length - i)));
            if (!TryRead(file, piece, HeaderByteCount + (sizeof(long) * (long)i))) return null;
            crc = Crc32C.Append(crc, piece);
        }
        if (crc != BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(CrcAt))) return null;
        if (!BitConverter.IsLittleEndian) BinaryPrimitives.ReverseEndianness(offsets, offsets);
        for (int i = 1; i < offsets.Length; i++)
            if (offsets[i] <= offsets[i - 1]) return null;
        return offsets[0] < 0 || offsets[^1] > _dataLength ? null : new ListedRecordIndex(offsets);
    }

    private static bool TryRead(Microsoft.Win32.SafeHandles.SafeFileHandle file, Span<byte> destination, long offset)
    {
        while (!destination.IsEmpty)
        {
            int read = RandomAccess.Read(file, destination, offset);
            if (read == 0) return false;
            destination = destination[read..];
            offset += read;
        }
        return true;
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // What could not be written is mostly not there.
        }
    }
}
