using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace DistTrain.Runtime;

/// <summary>
/// Writes measurements as JSON Lines: one object a line, UTF-8. Floating-point numbers have the digits that give the same bits when read back; NaN and infinities, which JSON
/// lacks, are the strings "NaN", "Infinity" and "-Infinity". An existing file is continued; a last line that a killed process left unfinished is removed. Thread-safe.
/// </summary>
public sealed class JsonLinesWriter : IDisposable
{
    private readonly Lock _lock = new();
    private readonly FileStream _file;
    private readonly ArrayBufferWriter<byte> _line = new();
    private readonly Utf8JsonWriter _json;
    private readonly TimeSpan _flushInterval;
    private readonly TimeProvider _time;
    private long _flushed;
    private bool _isDisposed;

    /// <summary>Opens or makes a file, and its directory.</summary>
    /// <param name="path">The file, by custom <c>metrics.jsonl</c>.</param>
    /// <param name="flushInterval">How long lines may stay in the buffer while others come. Zero, as by default: each line is handed to the operating system at once.</param>
    /// <param name="time">The clock. Null: the system's.</param>
    /// <exception cref="IOException">The file can't be opened.</exception>
    public JsonLinesWriter(string path, TimeSpan flushInterval = default, TimeProvider? time = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        Path = path;
        _flushInterval = flushInterval;
        _time = time ?? TimeProvider.System;
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!);
        _file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, 1 << 14);
        RemoveUnfinishedLine(_file);
        _json = new Utf8JsonWriter(_line, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        _flushed = _time.GetTimestamp();
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Appends one object.</summary>
    /// <param name="fields">Names and values, in order: null, bool, string, or an integer or floating-point number.</param>
    /// <exception cref="ArgumentException">A value of another type; nothing is written then.</exception>
    public void Write(params ReadOnlySpan<(string Name, object? Value)> fields)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            _line.ResetWrittenCount();
            _json.Reset();
            _json.WriteStartObject();
            foreach ((string name, object? value) in fields)
            {
                _json.WritePropertyName(name);
                WriteValue(_json, name, value);
            }
            _json.WriteEndObject();
            _json.Flush();
            _line.Write("\n"u8);
            _file.Write(_line.WrittenSpan);
            if (_time.GetElapsedTime(_flushed) >= _flushInterval) Flush();
        }
    }

    /// <summary>Hands everything written so far to the operating system.</summary>
    public void Flush()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            _file.Flush();
            _flushed = _time.GetTimestamp();
        }
    }

    /// <summary>Flushes and closes the file.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            if (_isDisposed) return;
            _isDisposed = true;
            _json.Dispose();
            _file.Dispose();
        }
    }

    private static void WriteValue(Utf8JsonWriter json, string name, object? value)
    {
        switch (value)
        {
            case null: json.WriteNullValue(); break;
            case bool flag: json.WriteBooleanValue(flag); break;
            case string text: json.WriteStringValue(text); break;
            case int number: json.WriteNumberValue(number); break;
            case long number: json.WriteNumberValue(number); break;
            case uint number: json.WriteNumberValue(number); break;
            case ulong number: json.WriteNumberValue(number); break;
            case float number when float.IsFinite(number): json.WriteNumberValue(number); break;
            case double number when double.IsFinite(number): json.WriteNumberValue(number); break;
            case float number: json.WriteStringValue(NameOf(number)); break;
            case double number: json.WriteStringValue(NameOf(number)); break;
            default: throw new ArgumentException($"field '{name}' is a {value.GetType().Name}; null, bool, string, int, long, uint, ulong, float and double can be written");
        }
    }

    private static string NameOf(double number) => double.IsNaN(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";

    private static void RemoveUnfinishedLine(FileStream file)
    {
        long end = file.Length;
        byte[] part = new byte[4096];
        while (end > 0)
        {
            int count = (int)Math.Min(part.Length, end);
            file.Position = end - count;
            file.ReadExactly(part, 0, count);
            int lineEnd = part.AsSpan(0, count).LastIndexOf((byte)'\n');
            end = lineEnd >= 0 ? end - count + lineEnd + 1 : end - count;
            if (lineEnd >= 0) break;
        }
        if (end != file.Length) file.SetLength(end);
        file.Position = end;
    }
}
