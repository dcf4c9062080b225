using System.ComponentModel;
using System.Diagnostics;

namespace DistTrain.Runtime.Tests;

/// <summary>A small disk of its own, mounted for a test; where that is not allowed the test is skipped.</summary>
internal sealed class MountedDisk : IDisposable
{
    internal MountedDisk(int byteCount)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "mounts a disk as Linux does");
        Path = Directory.CreateTempSubdirectory("disttrain-disk-").FullName;
        if (Run("mount", "-t", "tmpfs", "-o", $"size={byteCount},mode=755", "disttrain-test", Path) is not { } refusal) return;
        Directory.Delete(Path);
        Assert.Skip($"mounting a disk is not allowed here: {refusal}");
    }

    internal string Path { get; }

    /// <summary>Takes up all room but so many bytes.</summary>
    internal void Fill(long free)
    {
        using FileStream file = File.Create(System.IO.Path.Combine(Path, "filler"));
        long count = new DriveInfo(Path).AvailableFreeSpace - free;
        for (long done = 0; done < count; done += 4096) file.Write(new byte[Math.Min(4096, count - done)]);
    }

    internal void Free() => File.Delete(System.IO.Path.Combine(Path, "filler"));

    internal void MakeReadOnly() => Assert.Null(Run("mount", "-o", "remount,ro", Path));

    internal void MakeWritable() => Assert.Null(Run("mount", "-o", "remount,rw", Path));

    public void Dispose()
    {
        // Lazily: a file that a failing test left open does not keep it.
        Run("umount", "-l", Path);
        Directory.Delete(Path);
    }

    // What it complained of; null if it worked.
    private static string? Run(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true }) ?? throw new InvalidOperationException($"can't start {program}");
            string errors = process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0 ? null : errors.Trim();
        }
        catch (Win32Exception failure)
        {
            return failure.Message;
        }
    }
}
