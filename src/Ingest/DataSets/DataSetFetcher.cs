using System.Security.Cryptography;

namespace DistTrain.Ingest;

/// <summary>Fetching a data set failed. The message says what went wrong and what else can be done.</summary>
public sealed class DataSetFetchException(string message, Exception? innerException = null) : Exception(message, innerException);

/// <summary>Brings data sets that are too big to embed into the cache folder.</summary>
public static class DataSetFetcher
{
    /// <summary>The command that fetches Fashion-MNIST.</summary>
    public const string FashionMnistCommand = "disttrain data fetch fashion-mnist";

    private const string Package = "dataset-fashion-mnist";

    private static readonly TimeSpan s_downloadTimeout = TimeSpan.FromMinutes(10), s_unpackTimeout = TimeSpan.FromMinutes(2);

    // The same in the Debian package and upstream (github.com/zalandoresearch/fashion-mnist, data/fashion).
    private static readonly (string FileName, string Sha256)[] s_files =
    [
        ("train-images-idx3-ubyte.gz", "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"),
        ("train-labels-idx1-ubyte.gz", "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"),
        ("t10k-images-idx3-ubyte.gz", "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"),
        ("t10k-labels-idx1-ubyte.gz", "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"),
    ];

    /// <summary>
    /// Brings the four files of Fashion-MNIST into the cache folder: from <paramref name="from"/>, or out of the Debian package (downloaded with
    /// <c>apt-get download</c>, unpacked with <c>dpkg-deb</c>, nothing is installed). Checksums are verified; the folder appears whole or not at all.
    /// Blocks for as long as the download takes.
    /// </summary>
    /// <param name="from">A directory that holds the four .gz files; null to download.</param>
    /// <param name="progress">Gets a line for each step.</param>
    /// <param name="cancellationToken">Stops the tools and removes what was fetched.</param>
    /// <returns>The folder with the files.</returns>
    /// <exception cref="DataSetFetchException">A tool is missing or failed, a file is missing or has another checksum, or the cache can't be written.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static string FetchFashionMnist(string? from, TextWriter progress, CancellationToken cancellationToken = default) =>
        FetchFashionMnist(from, progress, DataSetCatalog.DefaultCacheFolder, FetchTool.AptGet, FetchTool.DpkgDeb, cancellationToken);

    internal static string FetchFashionMnist(string? from, TextWriter progress, string cacheFolder, FetchTool aptGet, FetchTool dpkgDeb,
        CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(progress);
        // In the cache folder, so that the rename at the end stays on one file system.
        string staging = Path.Combine(cacheFolder, $".fetch-{Guid.NewGuid():N}");
        try
        {
            string files = Directory.CreateDirectory(Path.Combine(staging, DataSetCatalog.FashionMnist)).FullName;
            string source = from ?? Download(staging, progress, aptGet, dpkgDeb, cancellationToken);
            foreach ((string fileName, string sha256) in s_files)
            {
                cancellationToken.ThrowIfCancellationRequested();
                CopyVerified(Path.Combine(source, fileName), Path.Combine(files, fileName), sha256);
                progress.WriteLine($"verified {fileName}");
            }
            string destination = Path.Combine(cacheFolder, DataSetCatalog.FashionMnist);
            Install(files, destination);
            progress.WriteLine($"installed in {destination}");
            return destination;
        }
        catch (Exception cause) when (cause is IOException or UnauthorizedAccessException)
        {
            throw new DataSetFetchException($"fetching {DataSetCatalog.FashionMnist} into {cacheFolder} failed: {cause.Message}", cause);
        }
        finally
        {
            if (Directory.Exists(staging)) Directory.Delete(staging, recursive: true);
        }
    }

    private static string Download(string staging, TextWriter progress, FetchTool aptGet, FetchTool dpkgDeb, CancellationToken cancellationToken)
    {
        progress.WriteLine($"downloading the Debian package {Package} (31 MB)");
        // Apt's own downloader would drop root's rights and then can't write here; a file of ours needs no sandbox.
        aptGet.Run(staging, s_downloadTimeout, cancellationToken, "download", "-q", "-o", "APT::Sandbox::User=root", Package);
        string package = Directory.EnumerateFiles(staging, Package + "_*.deb").FirstOrDefault()
            ?? throw new DataSetFetchException($"apt-get download {Package} left no .deb in {staging}");
        progress.WriteLine("unpacking");
        dpkgDeb.Run(staging, s_unpackTimeout, cancellationToken, "-x", package, Path.Combine(staging, "unpacked"));
        return Path.Combine(staging, "unpacked", "usr", "share", "datasets", "fashion-mnist");
    }

    private static void CopyVerified(string source, string destination, string sha256)
    {
        if (!File.Exists(source))
            throw new DataSetFetchException($"{source} does not exist; expected {string.Join(", ", s_files.Select(file => file.FileName))} in that directory");
        File.Copy(source, destination);
        using FileStream stream = File.OpenRead(destination);
        string found = Convert.ToHexStringLower(SHA256.HashData(stream));
        if (found != sha256)
            throw new DataSetFetchException($"{source} has SHA-256 {found}, expected {sha256}: damaged, or another version of the data");
    }

    private static void Install(string files, string destination)
    {
        string old = files + ".old";
        if (Directory.Exists(destination)) Directory.Move(destination, old);
        try
        {
            Directory.Move(files, destination);
        }
        catch (IOException) when (IdxFolder.IsComplete(destination))
        {
            // Another process was faster with the same verified files.
        }
    }
}
