namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <summary>
    /// Records from streams and pipes, one behind the other, in any format that has a framing: <c>FromPipe([new PipeSource("peer", () => socket)], new TFRecordFraming(max))</c>.
    /// Records are slices of the memory that was read into: dispose each. Going on from a saved position reads the source from its beginning and drops what came before.
    /// </summary>
    /// <param name="sources">What is read; opened when the run comes to it.</param>
    /// <param name="framing">How the bytes are cut into records.</param>
    /// <exception cref="ArgumentException">No source.</exception>
    public static Dataset<Record> FromPipe<TFraming>(IEnumerable<PipeSource> sources, TFraming framing) where TFraming : struct, IRecordFraming
    {
        ArgumentNullException.ThrowIfNull(sources);
        PipeSource[] all = [.. sources];
        if (all.Length == 0 || Array.Exists(all, source => source is null)) throw new ArgumentException("no source was given, or one is null", nameof(sources));
        return new PipeDataset<TFraming>(all, framing);
    }
}

internal sealed class PipeDataset<TFraming>(PipeSource[] sources, TFraming framing) : Dataset<Record> where TFraming : struct, IRecordFraming
{
    public override string Name => "FromPipe";

    public override Cardinality Cardinality => Cardinality.Unknown;

    protected internal override ElementStream<Record> Open(StreamContext context) => new RecordStream<TFraming>(Name, new PipeFeed(Name, sources, context), framing, context);
}
