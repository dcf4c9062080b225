using System.Diagnostics;

namespace DistTrain.Ingest.Tests;

public sealed class DataSetFetcherTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly StringWriter _progress = new();

    public void Dispose()
    {
        _folder.Dispose();
        _progress.Dispose();
    }

    [Fact]
    public void A_missing_file_is_named_and_nothing_is_left_behind()
    {
        DataSetFetchException failure = Assert.Throws<DataSetFetchException>(() => Fetch(from: _folder.Path));

        Assert.StartsWith($"{_folder.Path}/train-images-idx3-ubyte.gz does not exist; expected train-images-idx3-ubyte.gz, ", failure.Message);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.File("cache")));
    }

    [Fact]
    public void Another_checksum_is_named_and_nothing_is_left_behind()
    {
        _folder.Write("train-images-idx3-ubyte.gz", []);

        DataSetFetchException failure = Assert.Throws<DataSetFetchException>(() => Fetch(from: _folder.Path));

        Assert.Equal($"{_folder.Path}/train-images-idx3-ubyte.gz has SHA-256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855, "
            + "expected b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7: damaged, or another version of the data", failure.Message);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.File("cache")));
    }

    [Fact]
    public void A_tool_that_is_missing_is_named_with_another_way()
    {
        DataSetFetchException failure = Assert.Throws<DataSetFetchException>(() => Fetch(aptGet: Tool("no-such-program")));

        Assert.Contains("can't run no-such-program", failure.Message);
        Assert.EndsWith("the advice", failure.Message);
    }

    [Fact]
    public void A_tool_that_fails_is_quoted()
    {
        FetchTool apt = Script("echo 'E: Unable to locate package' >&2; exit 100");

        DataSetFetchException failure = Assert.Throws<DataSetFetchException>(() => Fetch(aptGet: apt));

        Assert.Contains("failed (exit status 100): E: Unable to locate package\nthe advice", failure.Message);
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.File("cache")));
    }

    [Fact]
    public void A_tool_that_hangs_is_stopped_at_its_time_limit()
    {
        long start = Stopwatch.GetTimestamp();

        DataSetFetchException failure = Assert.Throws<DataSetFetchException>(() =>
            Script("sleep 60").Run(_folder.Path, TimeSpan.FromSeconds(0.3), TestContext.Current.CancellationToken));

        Assert.Contains("did not end within 0 s and was stopped", failure.Message);
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(20));
    }

    [Fact]
    public void Cancelling_stops_the_tool_and_leaves_nothing_behind()
    {
        using CancellationTokenSource cancellation = new(TimeSpan.FromSeconds(0.3));
        Assert.ThrowsAny<OperationCanceledException>(() => Fetch(aptGet: Script("sleep 60"), cancellationToken: cancellation.Token));
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder.File("cache")));
    }

    [Fact]
    public void A_tool_that_says_much_does_not_block()
    {
        Script("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2").Run(_folder.Path, TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
    }

    [Fact]
    public void The_whole_set_is_fetched_verified_installed_and_loaded()
    {
        if (Environment.GetEnvironmentVariable("DISTTRAIN_TEST_NETWORK") != "1") Assert.Skip("downloads 31 MB: set DISTTRAIN_TEST_NETWORK=1");
        Assert.Equal(_folder.File("cache/fashion-mnist"), Fetch());
        Assert.Equal(_folder.File("cache/fashion-mnist"), Fetch(from: _folder.File("cache/fashion-mnist")));

        DataSetCatalog catalog = new(null, _folder.File("cache"), _folder.File("none"));
        LabelledImages train = catalog.Load("fashion-mnist", DataSplit.Train), test = catalog.Load("fashion-mnist", DataSplit.Test);
        LabelledImages slice = catalog.Load("fashion-mnist-slice", DataSplit.Train);

        Assert.Equal((60_000, 10_000), (train.Count, test.Count));
        Assert.Equal(train.Sample(0).ToArray(), slice.Sample(0).ToArray());
        Assert.Equal(["cache"], Directory.EnumerateDirectories(_folder.Path).Select(Path.GetFileName));
        Assert.Equal(["fashion-mnist"], Directory.EnumerateFileSystemEntries(_folder.File("cache")).Select(Path.GetFileName));
        Assert.Contains("verified t10k-labels-idx1-ubyte.gz", _progress.ToString());
    }

    private string Fetch(string? from = null, FetchTool? aptGet = null, CancellationToken cancellationToken = default) =>
        DataSetFetcher.FetchFashionMnist(from, _progress, _folder.File("cache"), aptGet ?? FetchTool.AptGet, FetchTool.DpkgDeb, cancellationToken);

    private static FetchTool Tool(string program) => new(program, "the advice");

    private FetchTool Script(string body)
    {
        string path = _folder.Write("tool.sh", System.Text.Encoding.ASCII.GetBytes("#!/bin/sh\n" + body + "\n"));
        if (!OperatingSystem.IsWindows()) File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return Tool(path);
    }
}
