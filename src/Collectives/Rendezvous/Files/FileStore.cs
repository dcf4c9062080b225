using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace DistTrain.Collectives;

/// <summary>
/// A store in a folder that all processes of a job see: of one host, or on a network file system. A value is a file, written beside and put in place at once, with a code under the job's secret, so
/// that a damaged or foreign file is an error that names it and never a value. Those who wait look again and again, at most 20 times a second. The keys of a run stay until
/// <see cref="DeleteRun"/>; another run of the job has another folder and sees none of them.
/// </summary>
/// <remarks>Whoever may write to the folder can remove values or put old ones of the same run back; the job's own account alone should have rights to it.</remarks>
public sealed class FileStore : IRendezvousStore
{
    private const int MaxRunIdLength = 128;
    private const int ReadTries = 5;

    // A network mount may remember for a minute that a file isn't there; a change of our own in the folder makes it ask the server again.
    private static readonly TimeSpan RefreshInterval = TimeSpan.FromSeconds(1);
    private readonly string _folder;
    private readonly FileStoreOptions _options;
    private readonly SealedValue _seal;
    private readonly FolderLock _lock;
    private volatile bool _isDisposed;

    /// <summary>Opens the store of a run and makes its folder if it is not there.</summary>
    /// <param name="folder">A folder for all jobs or all runs of one.</param>
    /// <param name="runId">The run: letters, digits, <c>-</c>, <c>_</c> and <c>.</c>, which must not come first. Must be another one for each start of the job.</param>
    /// <param name="secret">The job's secret.</param>
    /// <param name="options">How to wait.</param>
    /// <exception cref="RendezvousException">The folder can't be made or used, or its file system has no locks.</exception>
    public FileStore(string folder, string runId, JobSecret secret, FileStoreOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(secret);
        _folder = FindFolder(folder, runId);
        _options = options ?? new FileStoreOptions();
        _options.Check();
        Description = $"file store {_folder}";
        _seal = new SealedValue(secret, Encoding.UTF8.GetBytes(runId));
        _lock = new FolderLock(_folder, Description, _options.LockTimeout);
        Guard(() =>
        {
            if (OperatingSystem.IsWindows()) Directory.CreateDirectory(_folder);
            else Directory.CreateDirectory(_folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
            _lock.CheckThatItLocks();
            return true;
        });
    }

    /// <inheritdoc/>
    public string Description { get; }

    /// <summary>Removes all that a run left, if there is anything. The last of the run does it, when nobody needs it any more.</summary>
    /// <exception cref="IOException">It can't be removed.</exception>
    public static void DeleteRun(string folder, string runId)
    {
        string path = FindFolder(folder, runId);
        if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
    }

    /// <inheritdoc/>
    public void Set(string key, ReadOnlySpan<byte> value)
    {
        byte[] encoded = RendezvousLimits.Encode(key), copy = value.ToArray();
        RendezvousLimits.CheckValue(key, value);
        Change(() => Write(key, encoded, copy));
    }

    /// <inheritdoc/>
    public byte[] Get(string key, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        byte[]? value = null;
        Await([key], timeout, (_, found) => value = found, cancellationToken);
        return value!;
    }

    /// <inheritdoc/>
    public bool TryGet(string key, [NotNullWhen(true)] out byte[]? value)
    {
        byte[] encoded = RendezvousLimits.Encode(key);
        value = Guard(() => Read(key, encoded));
        return value is not null;
    }

    /// <inheritdoc/>
    public long Add(string key, long amount)
    {
        byte[] encoded = RendezvousLimits.Encode(key);
        return Change(() =>
        {
            long sum = unchecked(StoreTable.ReadCounter(key, Read(key, encoded), Description) + amount);
            Write(key, encoded, StoreTable.WriteCounter(sum));
            return sum;
        });
    }

    /// <inheritdoc/>
    public bool CompareExchange(string key, byte[]? expected, ReadOnlySpan<byte> value)
    {
        byte[] encoded = RendezvousLimits.Encode(key), copy = value.ToArray();
        RendezvousLimits.CheckValue(key, value);
        return Change(() => StoreTable.AreEqual(Read(key, encoded), expected) && Write(key, encoded, copy));
    }

    /// <inheritdoc/>
    public void Wait(IReadOnlyList<string> keys, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        Await([.. keys.Distinct(StringComparer.Ordinal)], timeout, (_, _) => { }, cancellationToken);
    }

    /// <inheritdoc/>
    public bool Delete(string key)
    {
        string path = FindFile(RendezvousLimits.Encode(key));
        return Change(() =>
        {
            bool wasSet = File.Exists(path);
            File.Delete(path);
            return wasSet;
        });
    }

    /// <summary>Ends the waits of this process. The files stay: others may need them.</summary>
    public void Dispose() => _isDisposed = true;

    private static string FindFolder(string folder, string runId)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        ArgumentException.ThrowIfNullOrEmpty(runId);
        if (runId.Length > MaxRunIdLength || runId[0] == '.' || runId.Any(letter => !char.IsAsciiLetterOrDigit(letter) && letter is not ('-' or '_' or '.')))
            throw new ArgumentException($"the run id becomes a folder's name: at most {MaxRunIdLength} letters, digits, '-', '_' and '.', which must not come first", nameof(runId));
        return Path.Combine(Path.GetFullPath(folder), runId);
    }

    private string FindFile(byte[] key) => Path.Combine(_folder, $"key-{Convert.ToHexStringLower(SHA256.HashData(key).AsSpan(0, 16))}");

    private T Change<T>(Func<T> change) => Guard(() => _lock.Run(change));

    private T Guard<T>(Func<T> work)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        try
        {
            return work();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new RendezvousException($"{Description}: {failure.Message}", failure);
        }
    }

    private void Await(IReadOnlyList<string> keys, TimeSpan timeout, Action<string, byte[]> take, CancellationToken cancellationToken)
    {
        RendezvousLimits.CheckTimeout(timeout);
        var missing = keys.Select(key => (Key: key, Encoded: RendezvousLimits.Encode(key))).ToList();
        var deadline = new Deadline(timeout, cancellationToken);
        var refresh = new Deadline(RefreshInterval);
        var pause = new PollPause(_options.LongestPause);
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            Guard(() => missing.RemoveAll(key =>
            {
                byte[]? value = Read(key.Key, key.Encoded);
                if (value is not null) take(key.Key, value);
                return value is not null;
            }));
            if (missing.Count == 0) return;
            if (deadline.IsOver) throw StoreTimeouts.Keys(Description, timeout, [.. missing.Select(key => key.Key)]);
            pause.Wait(deadline.Left, cancellationToken);
            if (!refresh.IsOver) continue;
            Guard(Refresh);
            refresh = new Deadline(RefreshInterval);
        }
    }

    private bool Refresh()
    {
        string path = Path.Combine(_folder, $"refresh-{Guid.NewGuid():N}");
        File.WriteAllBytes(path, []);
        File.Delete(path);
        return true;
    }

    private byte[]? Read(string key, byte[] encoded)
    {
        string path = FindFile(encoded);
        for (int tries = 1; ; tries++)
        {
            try
            {
                using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
                if (file.Length > SealedValue.MaxFileByteCount) throw Damaged(path, key, $"has {file.Length:N0} bytes");
                byte[] bytes = new byte[file.Length];
                file.ReadExactly(bytes);
                return _seal.Open(bytes, encoded, out byte[] value) is { } wrong ? throw Damaged(path, key, wrong) : value;
            }
            catch (FileNotFoundException)
            {
                return null;
            }
            catch (IOException) when (tries < ReadTries)
            {
                // Over a network a file replaced while it is read may be gone from under the reader.
                Thread.Sleep(tries);
            }
        }
    }

    private RendezvousException Damaged(string path, string key, string wrong) => new($"{Description}: the file {path} of key '{key}' {wrong}");

    /// <summary>Under the lock, so that one name for what is being written serves all, and what a process that died left of it is written over.</summary>
    private bool Write(string key, byte[] encoded, byte[] value)
    {
        string path = FindFile(encoded), being = Path.Combine(_folder, "writing");
        if (!File.Exists(path)) StoreTable.CheckRoom(key, Directory.EnumerateFiles(_folder, "key-*").Count(), Description);
        using (var file = new FileStream(being, FileMode.Create, FileAccess.Write, FileShare.None))
        {
            file.Write(_seal.Close(encoded, value));
            file.Flush(flushToDisk: true);
        }
        File.Move(being, path, overwrite: true);
        return true;
    }
}
