using Microsoft.Win32.SafeHandles;

namespace DistTrain.Ingest;

/// <summary>
/// Tells in which line of a text file something stands. Counted only when an error asks for it, by reading the file again; from where the error before was, so that
/// many errors in one file read it once more in all.
/// </summary>
internal static class TextLines
{
    private readonly record struct Mark(string File, long Length, DateTime Time, long Offset, long Line);

    [ThreadStatic]
    private static Mark t_last;

    /// <summary>"line 12, record 10", or "record 10" where the file can't be read again as it was: compressed, remote, gone.</summary>
    internal static string Describe(in SourceLocation source)
    {
        string record = $"record {source.Record}";
        return TryCount(source, out long line) ? $"line {line}, {record}" : record;
    }

    private static bool TryCount(in SourceLocation source, out long line)
    {
        line = 0;
        if (source.File is null || !File.Exists(source.File)) return false;
        try
        {
            // What has no length (a named pipe) can't be read again, and may block whoever opens it.
            if (new FileInfo(source.File).Length <= source.Offset) return false;
            using SafeFileHandle file = File.OpenHandle(source.File, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            if (IsCompressed(file)) return false;
            Mark start = new(source.File, RandomAccess.GetLength(file), File.GetLastWriteTimeUtc(file), 0, 1);
            Mark last = t_last;
            if (last.Offset <= source.Offset && last == start with { Offset = last.Offset, Line = last.Line }) start = last;
            if (!TryCount(file, start, source.Offset, out line)) return false;
            t_last = start with { Offset = source.Offset, Line = line };
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private static bool TryCount(SafeFileHandle file, in Mark start, long end, out long line)
    {
        byte[] buffer = new byte[1 << 16];
        line = start.Line;
        for (long at = start.Offset; at < end;)
        {
            int read = RandomAccess.Read(file, buffer.AsSpan(0, (int)Math.Min(buffer.Length, end - at)), at);
            if (read == 0) return false;
            line += buffer.AsSpan(0, read).Count((byte)'\n');
            at += read;
        }
        return true;
    }

    // Two bytes that begin gzip, four that begin zstd: offsets are those of the content then. Text begins with neither.
    private static bool IsCompressed(SafeFileHandle file)
    {
        Span<byte> start = stackalloc byte[4];
        start = start[..RandomAccess.Read(file, start, 0)];
        return start.StartsWith((ReadOnlySpan<byte>)[0x1f, 0x8b]) || start.StartsWith((ReadOnlySpan<byte>)[0x28, 0xb5, 0x2f, 0xfd]);
    }
}
