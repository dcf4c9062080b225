namespace DistTrain.Ingest;

/// <summary>An answer whose header has been checked and whose bytes are still to be read. Disposing gives the connection back, or closes it if bytes are left.</summary>
internal sealed class HttpBody(HttpResponseMessage response, Stream content, long offset, long? end, bool isRange) : IDisposable
{
    /// <summary>Where in the file the next byte lies.</summary>
    internal long Offset { get; private set; } = offset;

    /// <summary>Where in the file the answer ends; null if the server does not say.</summary>
    internal long? End => end;

    /// <summary>Whether the server gives parts of files; else this is the whole file.</summary>
    internal bool IsRange => isRange;

    /// <summary>The next bytes, at least one, at most as many as fit.</summary>
    /// <returns>0 at the end of an answer of unknown length, or of one that is complete.</returns>
    /// <exception cref="HttpFailure">The answer is shorter than its header says.</exception>
    internal async ValueTask<int> ReadAsync(Memory<byte> destination, CancellationToken cancellation)
    {
        int wanted = (int)Math.Min(destination.Length, (end ?? long.MaxValue) - Offset);
        if (wanted == 0) return 0;
        int read = await content.ReadAsync(destination[..wanted], cancellation).ConfigureAwait(false);
        if (read == 0 && end is { } last) throw new HttpFailure($"the answer ended {last - Offset:N0} bytes early", isTransient: true, response.StatusCode);
        Offset += read;
        return read;
    }

    public void Dispose() => response.Dispose();
}
