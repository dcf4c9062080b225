namespace DistTrain.Ingest;

/// <summary>What <see cref="DataSetCatalog.List"/> says of a data set.</summary>
/// <param name="Name">The name to load it by.</param>
/// <param name="Description">What it is.</param>
/// <param name="TrainCount">Samples in the training part.</param>
/// <param name="TestCount">Samples in the test part.</param>
/// <param name="IsPresent">Whether it can be loaded now.</param>
/// <param name="Location">Where it is, or where it would be.</param>
/// <param name="HowToGet">A command that brings it here; null if it is here.</param>
public sealed record DataSetListing(string Name, string Description, int TrainCount, int TestCount, bool IsPresent, string Location, string? HowToGet);

/// <summary>
/// The data sets that can be named: <c>digits</c> and <c>fashion-mnist-slice</c> (embedded), <c>fashion-mnist</c> (fetched into the cache once), or a
/// directory with four IDX files. Thread-safe. Loading blocks and reads whole files.
/// </summary>
public sealed class DataSetCatalog
{
    /// <summary>The UCI 8x8 handwritten digits.</summary>
    public const string Digits = "digits";

    /// <summary>10,000 + 2,000 images of Fashion-MNIST.</summary>
    public const string FashionMnistSlice = "fashion-mnist-slice";

    /// <summary>All 60,000 + 10,000 images of Fashion-MNIST.</summary>
    public const string FashionMnist = "fashion-mnist";

    /// <summary>Where Debian's package <c>dataset-fashion-mnist</c> puts its files.</summary>
    private const string SystemFashionMnist = "/usr/share/datasets/fashion-mnist";

    private readonly string[] _fashionMnistFolders;

    /// <summary>A catalog of given folders.</summary>
    /// <param name="dataFolder">Holds the embedded sets. Null: the folder that DISTTRAIN_DATA names, else <c>data</c> beside the program.</param>
    /// <param name="cacheFolder">Holds fetched sets. Null: <see cref="DefaultCacheFolder"/>.</param>
    /// <param name="systemFolder">Where else Fashion-MNIST may lie. Null: where Debian's package puts it.</param>
    public DataSetCatalog(string? dataFolder = null, string? cacheFolder = null, string? systemFolder = null)
    {
        DataFolder = dataFolder ?? FromEnvironment("DISTTRAIN_DATA") ?? Path.Combine(AppContext.BaseDirectory, "data");
        CacheFolder = cacheFolder ?? DefaultCacheFolder;
        _fashionMnistFolders = [Path.Combine(CacheFolder, FashionMnist), systemFolder ?? SystemFashionMnist];
    }

    /// <summary>Every name, smallest set first.</summary>
    public static IReadOnlyList<string> Names { get; } = [Digits, FashionMnistSlice, FashionMnist];

    /// <summary>What the classes of Fashion-MNIST are called (its README).</summary>
    public static IReadOnlyList<string> FashionMnistClassNames { get; } =
        ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

    /// <summary><c>$XDG_CACHE_HOME/disttrain</c>, or <c>~/.cache/disttrain</c> if that variable is not set to an absolute path.</summary>
    public static string DefaultCacheFolder => Path.Combine(
        FromEnvironment("XDG_CACHE_HOME") is { } folder && Path.IsPathRooted(folder)
            ? folder : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache"), "disttrain");

    /// <summary>Holds the embedded sets.</summary>
    public string DataFolder { get; }

    /// <summary>Holds fetched sets.</summary>
    public string CacheFolder { get; }

    /// <summary>Loads one part of a data set into host memory.</summary>
    /// <param name="name">A name of <see cref="Names"/>, or a directory: anything with a <c>/</c> or that exists as a directory.</param>
    /// <param name="split">The part.</param>
    /// <exception cref="DataSetMissingException">A known set is not here.</exception>
    /// <exception cref="DataSetUnknownException">Neither a known name nor a directory.</exception>
    /// <exception cref="DataFormatException">A file is damaged.</exception>
    /// <exception cref="IOException">A file can't be read, or a directory lacks one.</exception>
    public LabelledImages Load(string name, DataSplit split)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        switch (name)
        {
            case Digits:
                string path = Path.Combine(DataFolder, Digits, "digits.csv.gz");
                if (!File.Exists(path)) throw EmbeddedMissing(Digits, path);
                return DigitsCsv.Split(DigitsCsv.Read(path), split);
            case FashionMnistSlice:
                string slice = Path.Combine(DataFolder, FashionMnistSlice);
                if (!IdxFolder.IsComplete(slice)) throw EmbeddedMissing(FashionMnistSlice, slice);
                return IdxFolder.Load(slice, split, FashionMnistClassNames);
            case FashionMnist:
                string whole = Array.Find(_fashionMnistFolders, IdxFolder.IsComplete) ?? throw FashionMnistMissing();
                return IdxFolder.Load(whole, split, FashionMnistClassNames);
            default:
                return Directory.Exists(name) ? IdxFolder.Load(name, split, null) : throw new DataSetUnknownException(name);
        }
    }

    /// <summary>Every named data set: where it is, how many samples it has, and how to get it if it is not here.</summary>
    public IReadOnlyList<DataSetListing> List()
    {
        string digits = Path.Combine(DataFolder, Digits, "digits.csv.gz"), slice = Path.Combine(DataFolder, FashionMnistSlice);
        string? whole = Array.Find(_fashionMnistFolders, IdxFolder.IsComplete);
        return
        [
            Embedded(Digits, "UCI handwritten digits, 8x8 grey, 10 classes", 1497, 300, digits, File.Exists(digits)),
            Embedded(FashionMnistSlice, "a balanced slice of Fashion-MNIST, 28x28 grey, 10 classes", 10_000, 2_000, slice, IdxFolder.IsComplete(slice)),
            new(FashionMnist, "Fashion-MNIST, 28x28 grey, 10 classes", 60_000, 10_000, whole is not null,
                whole ?? _fashionMnistFolders[0], whole is null ? DataSetFetcher.FashionMnistCommand : null),
        ];
    }

    private static DataSetListing Embedded(string name, string description, int trainCount, int testCount, string location, bool isPresent) =>
        new(name, description, trainCount, testCount, isPresent, location, isPresent ? null : "set DISTTRAIN_DATA to DistTrain's data folder");

    private static DataSetMissingException EmbeddedMissing(string name, string path) =>
        new(name, $"data set {name}: {path} does not exist; it belongs beside the program, or set DISTTRAIN_DATA to DistTrain's data folder");

    private DataSetMissingException FashionMnistMissing() =>
        new(FashionMnist, $"data set {FashionMnist} is not in {string.Join(" nor in ", _fashionMnistFolders)}; get it with: {DataSetFetcher.FashionMnistCommand}");

    private static string? FromEnvironment(string variable) => Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : null;
}
