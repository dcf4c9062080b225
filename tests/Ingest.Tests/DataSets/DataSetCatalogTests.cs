using System.Security.Cryptography;

namespace DistTrain.Ingest.Tests;

public sealed class DataSetCatalogTests
{
    private static readonly DataSetCatalog s_embedded = new();

    [Fact]
    public void The_digits_have_1497_training_and_300_test_samples_thirty_of_each_class()
    {
        LabelledImages train = s_embedded.Load("digits", DataSplit.Train), test = s_embedded.Load("digits", DataSplit.Test);

        Assert.Equal((1497, 300), (train.Count, test.Count));
        Assert.Equal((1, 8, 8, 16), (test.Channels, test.Height, test.Width, test.PixelMaximum));
        Assert.Equal(Enumerable.Repeat(30, 10), CountByClass(test));
        Assert.Equal([148, 152, 147, 153, 151, 152, 151, 149, 144, 150], CountByClass(train));
        Assert.Equal(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], train.ClassNames);
        Assert.Equal([0, 0, 5, 13, 9, 1, 0, 0], train.Sample(0)[..8].ToArray());
        Assert.Equal(16, train.Pixels.Max());
    }

    [Fact]
    public void The_fashion_slice_is_balanced_and_named()
    {
        LabelledImages train = s_embedded.Load("fashion-mnist-slice", DataSplit.Train), test = s_embedded.Load("fashion-mnist-slice", DataSplit.Test);

        Assert.Equal((10_000, 2_000), (train.Count, test.Count));
        Assert.Equal((1, 28, 28, 255), (train.Channels, train.Height, train.Width, train.PixelMaximum));
        Assert.Equal(Enumerable.Repeat(1000, 10), CountByClass(train));
        Assert.Equal(Enumerable.Repeat(200, 10), CountByClass(test));
        // The first images of the original files: ankle boots.
        Assert.Equal("Ankle boot", train.ClassNames[train.Labels[0]]);
        Assert.Equal("Ankle boot", test.ClassNames[test.Labels[0]]);
        Assert.Equal(76_247, train.Sample(0).ToArray().Sum(pixel => pixel));
    }

    [Fact]
    public void Embedded_files_have_the_checksums_of_their_readme()
    {
        string readme = File.ReadAllText(Path.Combine(RepositoryRoot(), "data", "README.md"));
        foreach (string path in Directory.EnumerateFiles(s_embedded.DataFolder, "*.gz", SearchOption.AllDirectories))
            Assert.Contains($"{Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(path)))}  {Path.GetRelativePath(s_embedded.DataFolder, path)}", readme);
    }

    [Fact]
    public void A_set_that_was_not_fetched_says_the_command_that_fetches_it()
    {
        using TemporaryFolder folder = new();
        DataSetCatalog catalog = new(folder.Path, folder.File("cache"), folder.File("system"));

        DataSetMissingException failure = Assert.Throws<DataSetMissingException>(() => catalog.Load("fashion-mnist", DataSplit.Train));

        Assert.Equal($"data set fashion-mnist is not in {folder.Path}/cache/fashion-mnist nor in {folder.Path}/system; get it with: disttrain data fetch fashion-mnist", failure.Message);
        Assert.Equal("fashion-mnist", failure.DataSetName);
        Assert.Contains("DISTTRAIN_DATA", Assert.Throws<DataSetMissingException>(() => catalog.Load("digits", DataSplit.Test)).Message);
        Assert.Contains("DISTTRAIN_DATA", Assert.Throws<DataSetMissingException>(() => catalog.Load("fashion-mnist-slice", DataSplit.Test)).Message);
    }

    [Fact]
    public void An_unknown_name_lists_the_names()
    {
        DataSetUnknownException failure = Assert.Throws<DataSetUnknownException>(() => s_embedded.Load("digit", DataSplit.Train));

        Assert.Equal("no data set 'digit': expected digits, fashion-mnist-slice, fashion-mnist, or a directory with the four IDX files (train-images-idx3-ubyte[.gz], ...)", failure.Message);
    }

    [Fact]
    public void The_list_says_what_is_here_and_how_to_get_the_rest()
    {
        using TemporaryFolder folder = new();
        IReadOnlyList<DataSetListing> list = new DataSetCatalog(null, folder.File("cache"), folder.File("system")).List();

        Assert.Equal(DataSetCatalog.Names, list.Select(listing => listing.Name));
        Assert.Equal([true, true, false], list.Select(listing => listing.IsPresent));
        Assert.Equal([null, null, "disttrain data fetch fashion-mnist"], list.Select(listing => listing.HowToGet));
        Assert.Equal([(1497, 300), (10_000, 2_000), (60_000, 10_000)], list.Select(listing => (listing.TrainCount, listing.TestCount)));
        Assert.Equal(Path.Combine(folder.Path, "cache", "fashion-mnist"), list[2].Location);
    }

    [Fact]
    public void A_directory_with_four_idx_files_is_a_data_set_plain_or_compressed()
    {
        using TemporaryFolder folder = new();
        folder.Write("train-images-idx3-ubyte", IdxFiles.Bytes([2, 1, 3], [1, 2, 3, 4, 5, 6]));
        folder.Write("train-labels-idx1-ubyte.gz", TemporaryFolder.Gzip(IdxFiles.Bytes([2], [0, 2])));
        folder.Write("t10k-images-idx3-ubyte.gz", TemporaryFolder.Gzip(IdxFiles.Bytes([1, 1, 3], [7, 8, 9])));
        folder.Write("t10k-labels-idx1-ubyte", IdxFiles.Bytes([1], [1]));

        LabelledImages train = s_embedded.Load(folder.Path, DataSplit.Train), test = s_embedded.Load(folder.Path, DataSplit.Test);

        Assert.Equal([1, 2, 3, 4, 5, 6], train.Pixels);
        Assert.Equal([0, 2], train.Labels);
        Assert.Equal([7, 8, 9], test.Pixels);
        Assert.Equal(["0", "1", "2"], test.ClassNames);
    }

    [Fact]
    public void A_directory_that_lacks_a_file_says_which()
    {
        using TemporaryFolder folder = new();
        FileNotFoundException failure = Assert.Throws<FileNotFoundException>(() => s_embedded.Load(folder.Path, DataSplit.Test));
        Assert.StartsWith($"{folder.Path} has neither t10k-images-idx3-ubyte nor t10k-images-idx3-ubyte.gz;", failure.Message);
    }

    [Fact]
    public void Labels_of_another_number_than_the_images_are_refused()
    {
        using TemporaryFolder folder = new();
        folder.Write("train-images-idx3-ubyte", IdxFiles.Bytes([2, 1, 3], [1, 2, 3, 4, 5, 6]));
        folder.Write("train-labels-idx1-ubyte", IdxFiles.Bytes([3], [0, 2, 1]));

        DataFormatException failure = Assert.Throws<DataFormatException>(() => s_embedded.Load(folder.Path, DataSplit.Train));

        Assert.Equal($"{folder.Path}/train-labels-idx1-ubyte, byte 3: dimensions 3, expected one label for each of the 2 images in {folder.Path}/train-images-idx3-ubyte", failure.Message);
    }

    private static int[] CountByClass(LabelledImages images) => [.. images.Labels.GroupBy(label => label).OrderBy(group => group.Key).Select(group => group.Count())];

    private static string RepositoryRoot()
    {
        DirectoryInfo folder = new(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "DistTrain.sln"))) folder = folder.Parent!;
        return folder.FullName;
    }
}
