namespace DistTrain.Runtime;

/// <summary>
/// A safetensors file can't be used as asked: it is damaged, not of that format, or holds something else than expected. The message names the file
/// and the tensor or offset, what was found, what was expected and, where there is something, what to do.
/// </summary>
public sealed class SafetensorsException : Exception
{
    private const int LongestQuote = 100;

    /// <summary>Something in <paramref name="file"/> is wrong.</summary>
    /// <param name="file">The file.</param>
    /// <param name="problem">What was found and expected.</param>
    /// <param name="tensorName">The tensor that it concerns, if it is one.</param>
    /// <param name="offset">Bytes from the file's beginning, if there is a place.</param>
    /// <param name="innerException">The cause, if another exception told of it.</param>
    public SafetensorsException(string file, string problem, string? tensorName = null, long? offset = null, Exception? innerException = null)
        : base($"{file}{(tensorName is null ? "" : $", tensor {Quote(tensorName)}")}{(offset is null ? "" : $", byte {offset}")}: {problem}", innerException)
    {
        File = file;
        TensorName = tensorName;
        Offset = offset;
    }

    /// <summary>The file.</summary>
    public string File { get; }

    /// <summary>The tensor that it concerns; null if it concerns none or all.</summary>
    public string? TensorName { get; }

    /// <summary>Bytes from the file's beginning; null if there is no one place.</summary>
    public long? Offset { get; }

    /// <summary>A name out of an untrusted file, fit for a terminal: control characters replaced, cut if it is very long.</summary>
    internal static string Quote(string name)
    {
        string shown = name.Length <= LongestQuote ? name : $"{name.AsSpan(0, LongestQuote)}...";
        return $"'{string.Create(shown.Length, shown, static (span, text) =>
        {
            for (int i = 0; i < span.Length; i++) span[i] = char.IsControl(text[i]) || char.IsSurrogate(text[i]) ? '?' : text[i];
        })}'";
    }
}
