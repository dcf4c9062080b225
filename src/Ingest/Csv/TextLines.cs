namespace DistTrain.Ingest;

/// <summary>Tells in which line of a text file something stands. Counted only when an error asks for it, by reading the file again.</summary>
internal static class TextLines
{
    /// <summary>"line 12, record 10", or "record 10" where the file can't be read again as it was: compressed, remote, gone.</summary>
    internal static string Describe(in SourceLocation source)
    {
        string record = $"record {source.Record}";
        return TryCount(source, out long line) ? $"line {line}, {record}" : record;
    }

    private static bool TryCount(in SourceLocation source, out long line)
    {
        line = 1;
        if (source.File is null || !File.Exists(source.File)) return false;
        byte[] buffer = new byte[1 << 16];
        try
        {
            using Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(source.File);
            // Two bytes that begin gzip, four that begin zstd: offsets are those of the content then.
            if (RandomAccess.Read(file, buffer.AsSpan(0, 4), 0) >= 2 && (buffer.AsSpan().StartsWith((ReadOnlySpan<byte>)[0x1f, 0x8b]) || buffer.AsSpan().StartsWith((ReadOnlySpan<byte>)[0x28, 0xb5, 0x2f, 0xfd]))) return false;
            for (long at = 0; at < source.Offset;)
            {
                int read = RandomAccess.Read(file, buffer.AsSpan(0, (int)Math.Min(buffer.Length, source.Offset - at)), at);
                if (read == 0) return false;
                line += buffer.AsSpan(0, read).Count((byte)'\n');
                at += read;
            }
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
