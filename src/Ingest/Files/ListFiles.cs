namespace DistTrain.Ingest;

public static partial class Dataset
{
    /// <inheritdoc cref="ListFiles(IEnumerable{string}, ulong?)"/>
    public static Dataset<string> ListFiles(string pattern, ulong? shuffleSeed = null) => ListFiles([pattern], shuffleSeed);

    /// <summary>
    /// The paths of the files that match, each once, in ordinal order. <c>*</c> and <c>?</c> match within a name, <c>[a-z]</c> and <c>[!a-z]</c> one character,
    /// <c>**</c> any number of folders, <c>{train,test}</c> and WebDataset's <c>{000000..000127}</c> stand for several patterns, each of which must match.
    /// In addresses of servers only braces are expanded, and nothing is asked of the server.
    /// Names that begin with a dot are matched only by patterns that do, record indices (<c>*.dtindex</c>) likewise, <c>**</c> follows no links. The folders are read in this call, not in the runs.
    /// </summary>
    /// <param name="patterns">Patterns or plain paths, absolute or from the current folder; results are spelled the same way.</param>
    /// <param name="shuffleSeed">Not null: another order each epoch, keyed by this number and the epoch.</param>
    /// <exception cref="IngestException">A pattern matches nothing; the message names it and the folder searched.</exception>
    public static Dataset<string> ListFiles(IEnumerable<string> patterns, ulong? shuffleSeed = null) =>
        new ListFilesDataset(FileSearch.Find("ListFiles", patterns), shuffleSeed);
}

internal sealed class ListFilesDataset(List<string> files, ulong? shuffleSeed) : Dataset<string>
{
    public override Cardinality Cardinality => Cardinality.Of(files.Count);

    public override bool HasIndex => true;

    public override string Name => "ListFiles";

    protected internal override ElementStream<string> Open(StreamContext context) => new IndexedStream<string>(this, context);

    protected internal override IndexedReader<string> OpenIndexed(StreamContext context) =>
        new FileListReader(files, shuffleSeed is { } seed ? Permutation(files.Count, seed, context.Epoch) : null);

    // R. Fisher, F. Yates, 1938, as R. Durstenfeld put it (Algorithm 235, CACM 1964).
    private static int[] Permutation(int count, ulong seed, long epoch)
    {
        int[] order = new int[count];
        for (int i = 0; i < count; i++) order[i] = i;
        ElementRandom random = new(seed, epoch, count);
        for (int i = count - 1; i > 0; i--)
        {
            int other = random.Next(i + 1);
            (order[i], order[other]) = (order[other], order[i]);
        }
        return order;
    }
}

internal sealed class FileListReader(List<string> files, int[]? order) : IndexedReader<string>
{
    public override long Count => files.Count;

    public override string Read(long position) => files[(int)IndexAt(position)];

    public override long IndexAt(long position) => order is null ? position : order[position];

    public override SourceLocation SourceAt(long position) => new(Read(position));
}
