namespace DistTrain.Ingest;

/// <summary>What answers tell of the version of a file: all parts must come of the same one.</summary>
/// <param name="Length">Bytes of the whole file; null if the server does not say.</param>
/// <param name="ETag">The server's mark of this version, quotes included; null if it has none.</param>
/// <param name="LastModified">When the file was changed last; null if the server does not say.</param>
internal sealed record HttpVersionTag(long? Length, string? ETag, DateTimeOffset? LastModified)
{
    /// <summary>Whether the server marks versions at all.</summary>
    internal bool IsMarked => ETag is not null || LastModified is not null;

    /// <summary>The mark, if the server promises that equal marks mean equal bytes.</summary>
    internal string? StrongETag => ETag is not null && !ETag.StartsWith("W/", StringComparison.Ordinal) ? ETag : null;

    internal static HttpVersionTag Of(HttpResponseMessage response, long? length) => new(length, response.Headers.ETag?.ToString(), response.Content.Headers.LastModified);

    /// <summary>How a later answer contradicts this one; null if it does not. What either leaves out is no contradiction.</summary>
    internal string? DifferenceTo(HttpVersionTag later)
    {
        if (Length is { } length && later.Length is { } laterLength && length != laterLength) return $"it had {length:N0} bytes, now it has {laterLength:N0}";
        if (ETag is not null && later.ETag is not null) return ETag == later.ETag ? null : $"its ETag was {ETag}, now it is {later.ETag}";
        return LastModified is { } modified && later.LastModified is { } laterModified && modified != laterModified ? $"it was last modified at {modified:u}, now at {laterModified:u}" : null;
    }
}
