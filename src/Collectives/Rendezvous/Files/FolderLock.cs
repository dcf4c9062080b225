namespace DistTrain.Collectives;

/// <summary>
/// Lets one change of a folder in at a time, over all processes and hosts that share it: an exclusive lock of the file <c>lock</c>, which the system takes back from a process that dies. Beside it
/// <c>lock.owner</c> says who had it last, for messages.
/// </summary>
internal sealed class FolderLock(string folder, string description, TimeSpan timeout)
{
    private readonly Lock _local = new();
    private readonly string _path = Path.Combine(folder, "lock");
    private readonly string _ownerPath = Path.Combine(folder, "lock.owner");

    internal T Run<T>(Func<T> change)
    {
        var deadline = new Deadline(timeout);
        if (!_local.TryEnter(timeout)) throw TooLate(null);
        try
        {
            using FileStream held = Take(deadline);
            File.WriteAllText(_ownerPath, $"process {Environment.ProcessId} on {Environment.MachineName}");
            return change();
        }
        finally
        {
            _local.Exit();
        }
    }

    /// <summary>Refuses a file system whose locks lock nothing, as some network mounts have it.</summary>
    internal void CheckThatItLocks()
    {
        Run(() =>
        {
            try
            {
                new FileStream(_path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None).Dispose();
            }
            catch (IOException)
            {
                return true;
            }
            throw new RendezvousException($"{description}: the file system has no working file locks; mount it with locks, or use the TCP store");
        });
    }

    private FileStream Take(Deadline deadline)
    {
        var pause = new PollPause();
        while (true)
        {
            try
            {
                return new FileStream(_path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (DirectoryNotFoundException failure)
            {
                throw new RendezvousException($"{description}: the folder is gone", failure);
            }
            catch (IOException failure)
            {
                if (deadline.IsOver) throw TooLate(failure);
            }
            pause.Wait(deadline.Left, CancellationToken.None);
        }
    }

    private RendezvousTimeoutException TooLate(Exception? failure)
    {
        string owner = "unknown";
        try
        {
            owner = File.ReadAllText(_ownerPath);
        }
        catch (IOException)
        {
            // Then it stays unknown.
        }
        return new RendezvousTimeoutException($"{description}: the lock {_path} did not become free within {timeout.TotalSeconds:0.###} s; who took it last: {owner}", failure);
    }
}
