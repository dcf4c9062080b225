using System.Diagnostics;
using System.Globalization;

namespace DistTrain.Bench;

/// <summary>The server of <c>tests/RemoteStorage</c> in a process of its own: one file under several names, each with its wait before the first byte and its bandwidth.</summary>
public sealed class StorageProcess : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);
    private readonly Process _process;

    /// <summary>Starts it and waits until it listens.</summary>
    /// <exception cref="IOException">It is not built, or does not start.</exception>
    public StorageProcess(string file, int nameCount, double firstByteMilliseconds, double bytesPerSecond)
    {
        string[] numbers = [.. new[] { nameCount, firstByteMilliseconds, bytesPerSecond }.Select(number => number.ToString(CultureInfo.InvariantCulture))];
        ProcessStartInfo start = new("dotnet", [FindProgram(), file, .. numbers]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        _process = Process.Start(start)!;
        Task<string?> address = _process.StandardOutput.ReadLineAsync();
        if (!address.Wait(s_patience) || address.Result is null)
        {
            Dispose();
            throw new IOException("the storage server does not start");
        }
        Addresses = [.. Enumerable.Range(0, nameCount).Select(number => address.Result + number.ToString("000", CultureInfo.InvariantCulture))];
    }

    /// <summary>The file's addresses.</summary>
    public IReadOnlyList<string> Addresses { get; } = [];

    /// <summary>Ends the process: closes its input, and kills it if that is not enough.</summary>
    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.WaitForExit(TimeSpan.FromSeconds(5))) _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    private static string FindProgram()
    {
        string configuration = new DirectoryInfo(AppContext.BaseDirectory).Name;
        string[] candidates = PeerCatalog.RepositoryRoot() is not { } root ? [] : [.. new[] { configuration, "release", "debug" }
            .Select(name => Path.Combine(root, "artifacts", "bin", "DistTrain.RemoteStorage", name, "DistTrain.RemoteStorage.dll"))];
        return candidates.FirstOrDefault(File.Exists) ?? throw new IOException("the storage server is not built: dotnet build tests/RemoteStorage");
    }
}
