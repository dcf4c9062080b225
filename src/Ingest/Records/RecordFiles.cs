namespace DistTrain.Ingest;

/// <summary>What sources of records from files have in common.</summary>
internal static class RecordFiles
{
    /// <summary>The paths as an array of their own; braces in addresses, which no address has itself, expanded.</summary>
    /// <exception cref="ArgumentException">No path, or an empty one.</exception>
    internal static string[] Check(IEnumerable<string> paths)
    {
        ArgumentNullException.ThrowIfNull(paths);
        string[] files = [.. paths];
        if (files.Length == 0) throw new ArgumentException("no file was given: an empty list is more often a mistake than meant", nameof(paths));
        for (int i = 0; i < files.Length; i++)
            if (string.IsNullOrEmpty(files[i])) throw new ArgumentException($"path {i} of {files.Length} is empty", nameof(paths));
        return [.. files.SelectMany(file => HttpByteSource.IsAddress(file) ? BraceExpansion.Expand(file) : [file])];
    }

    /// <summary>One pass over the records of files.</summary>
    internal static RecordStream<TFraming> Open<TFraming>(FileFeedOptions files, bool readAhead, TFraming framing, StreamContext context) where TFraming : struct, IRecordFraming
    {
        SlabFeed feed;
        if (readAhead)
        {
            StreamContext own = context.CreateStoppable();
            feed = new ReadAheadFeed(new FileFeed(files, own), files.Operator, own);
        }
        else feed = new FileFeed(files, context);
        return new RecordStream<TFraming>(files.Operator, feed, framing, context);
    }
}
