using System.Diagnostics;

namespace DistTrain.Collectives.Tests;

public sealed class FileStoreContractTests : StoreContractTests
{
    private readonly JobSecret _secret = JobSecret.Create();
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-store").FullName;

    private protected override IRendezvousStore Join() => new FileStore(_folder, "run-1", _secret);

    public override void Dispose()
    {
        base.Dispose();
        Assert.DoesNotContain(Directory.EnumerateFiles(Path.Combine(_folder, "run-1")), path => Path.GetFileName(path) is var name && (name == "writing" || name.StartsWith("refresh", StringComparison.Ordinal)));
        FileStore.DeleteRun(_folder, "run-1");
        Assert.Empty(Directory.EnumerateFileSystemEntries(_folder));
        Directory.Delete(_folder);
    }
}

/// <summary>What can befall files: damage, strangers, earlier runs, processes that die amid a change.</summary>
public sealed class FileStoreTests : IDisposable
{
    private readonly JobSecret _secret = JobSecret.Create();
    private readonly string _folder = Directory.CreateTempSubdirectory("disttrain-store").FullName;
    private readonly FileStore _store;

    public FileStoreTests() => _store = new FileStore(_folder, "run", _secret, new FileStoreOptions { LockTimeout = TimeSpan.FromMilliseconds(300) });

    private string RunFolder => Path.Combine(_folder, "run");

    public void Dispose()
    {
        _store.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void Another_run_sees_nothing_of_this_one()
    {
        _store.Set("a", [1]);
        using var next = new FileStore(_folder, "run.2", _secret);
        Assert.False(next.TryGet("a", out _));
        next.Set("a", [2]);
        FileStore.DeleteRun(_folder, "run.2");
        Assert.Equal([1], _store.Get("a", TimeSpan.Zero));
        FileStore.DeleteRun(_folder, "never");
    }

    [Theory]
    [InlineData("../up")]
    [InlineData("a/b")]
    [InlineData("..")]
    [InlineData(".hidden")]
    [InlineData("a b")]
    public void A_run_id_that_is_no_plain_name_is_refused(string runId) => Assert.Throws<ArgumentException>(() => new FileStore(_folder, runId, _secret));

    [Fact]
    public void Every_byte_of_a_value_that_is_changed_and_every_cut_is_an_error_that_names_the_file()
    {
        _store.Set("key", [1, 2, 3]);
        string path = Directory.GetFiles(RunFolder, "key-*").Single();
        byte[] good = File.ReadAllBytes(path);
        for (int i = 0; i < good.Length; i++)
        {
            byte[] bad = [.. good];
            bad[i] ^= 1;
            File.WriteAllBytes(path, bad);
            var failure = Assert.Throws<RendezvousException>(() => _store.TryGet("key", out _));
            Assert.StartsWith($"file store {RunFolder}: the file {path} of key 'key' ", failure.Message, StringComparison.Ordinal);
        }
        foreach (int length in new[] { 0, 5, 9, 20, good.Length - 1 })
        {
            File.WriteAllBytes(path, good[..length]);
            Assert.Throws<RendezvousException>(() => _store.Get("key", TimeSpan.Zero));
        }
        File.WriteAllBytes(path, new byte[1 << 20]);
        Assert.EndsWith("has 1,048,576 bytes", Assert.Throws<RendezvousException>(() => _store.Add("key", 1)).Message, StringComparison.Ordinal);
        File.WriteAllBytes(path, good);
        Assert.Equal([1, 2, 3], _store.Get("key", TimeSpan.Zero));
    }

    [Fact]
    public void A_file_of_another_job_or_run_or_key_is_refused()
    {
        _store.Set("key", [1]);
        string path = Directory.GetFiles(RunFolder, "key-*").Single();
        using (var foreign = new FileStore(Path.Combine(_folder, "foreign"), "run", JobSecret.Create())) CheckThatItIsRefused(foreign, path, "was damaged, or comes from another job or run");
        using (var earlier = new FileStore(_folder, "earlier", _secret)) CheckThatItIsRefused(earlier, path, "was damaged, or comes from another job or run");
        File.Delete(path);
        _store.Set("other", [1]);
        File.Move(Directory.GetFiles(RunFolder, "key-*").Single(), path);
        Assert.EndsWith("belongs to another key", Assert.Throws<RendezvousException>(() => _store.Get("key", TimeSpan.Zero)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_process_left_that_died_amid_writing_is_no_value_and_in_nobodys_way()
    {
        File.WriteAllBytes(Path.Combine(RunFolder, "writing"), [1, 2, 3]);
        File.WriteAllText(Path.Combine(RunFolder, "lock"), "");
        _store.Set("a", [1]);
        Assert.Equal([1], _store.Get("a", TimeSpan.Zero));
        Assert.False(File.Exists(Path.Combine(RunFolder, "writing")));
    }

    [Fact]
    public void A_lock_held_for_too_long_is_an_error_that_names_its_owner_and_one_of_a_killed_process_is_free()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/flock"), "needs flock of util-linux to hold a lock in another process");
        _store.Set("a", [1]);
        using Process holder = Process.Start(new ProcessStartInfo("/usr/bin/flock", ["--no-fork", "-x", Path.Combine(RunFolder, "lock"), "/bin/sleep", "60"]))!;
        try
        {
            RendezvousTimeoutException? failure = null;
            TcpStoreRig.WaitUntil(() => (failure = Record.Exception(() => _store.Set("a", [2])) as RendezvousTimeoutException) is not null);
            Assert.Equal(
                $"file store {RunFolder}: the lock {Path.Combine(RunFolder, "lock")} did not become free within 0.3 s; who took it last: process {Environment.ProcessId} on {Environment.MachineName}",
                failure!.Message);
            Assert.True(_store.TryGet("a", out _));
        }
        finally
        {
            holder.Kill();
            holder.WaitForExit();
        }
        _store.Set("a", [3]);
        Assert.Equal([3], _store.Get("a", TimeSpan.Zero));
    }

    [Fact]
    public void A_full_store_says_so()
    {
        _store.Set("a", [1]);
        for (int i = 1; i < RendezvousLimits.MaxKeyCount; i++) File.WriteAllBytes(Path.Combine(RunFolder, $"key-{i}"), []);
        Assert.EndsWith("it holds 4,096 keys, which is the most it takes; delete keys that are no longer needed", Assert.Throws<RendezvousException>(() => _store.Set("b", [])).Message, StringComparison.Ordinal);
        _store.Set("a", [2]);
    }

    [Fact]
    public void A_folder_that_is_gone_or_none_is_an_error()
    {
        Directory.Delete(RunFolder, recursive: true);
        Assert.EndsWith("the folder is gone", Assert.Throws<RendezvousException>(() => _store.Set("a", [])).Message, StringComparison.Ordinal);
        Assert.Throws<RendezvousException>(() => _store.TryGet("a", out _));
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "");
        Assert.Throws<RendezvousException>(() => new FileStore(file, "run", _secret));
    }

    [Fact]
    public void Only_the_owner_can_look_into_a_run()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no file modes");
        if (!OperatingSystem.IsWindows()) Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(RunFolder));
    }

    private static void CheckThatItIsRefused(FileStore other, string path, string expected)
    {
        other.Set("key", [1]);
        string own = Directory.GetFiles(other.Description["file store ".Length..], "key-*").Single();
        File.Copy(path, own, overwrite: true);
        Assert.EndsWith(expected, Assert.Throws<RendezvousException>(() => other.Get("key", TimeSpan.Zero)).Message, StringComparison.Ordinal);
    }
}
