namespace DistTrain.Cli;

/// <summary>One rank's process, from its start until it is reaped. It leads a session and a process group of its own, which its children belong to.</summary>
internal sealed class RankProcess
{
    private readonly Action _ended;

    private RankProcess(int rank, int id, Action ended)
    {
        (Rank, Id, _ended) = (rank, id, ended);
        new Thread(AwaitEnd, 128 * 1024) { IsBackground = true, Name = $"rank {rank}" }.Start();
    }

    public int Rank { get; }

    public int Id { get; }

    /// <summary>How it ended; null while it runs.</summary>
    public RankExit? Exit { get; private set; }

    /// <summary>Starts a rank.</summary>
    /// <param name="rank">The rank.</param>
    /// <param name="command">Its program and arguments.</param>
    /// <param name="environment">Lines of NAME=value.</param>
    /// <param name="cores">The cores it is bound to; null: all that the launcher has.</param>
    /// <param name="guard">What kills it if the launcher dies.</param>
    /// <param name="ended">Called on a thread of its own when it has ended.</param>
    /// <returns>The process and the read ends of its outputs, which belong to the caller.</returns>
    public static (RankProcess Process, int Output, int Error) Start(int rank, IReadOnlyList<string> command, IReadOnlyList<string> environment, int[]? cores, RankGuard guard, Action ended)
    {
        (int output, int outputEnd) = NativeProcess.CreatePipe();
        (int error, int errorEnd) = NativeProcess.CreatePipe();
        try
        {
            int id = 0;
            Exception? failure = null;
            // A process inherits the cores of the thread that starts it: bound before it begins, with no moment in between.
            var starter = new Thread(() =>
            {
                try
                {
                    if (cores is not null) NativeProcess.SetAffinity(cores);
                    id = NativeProcess.Spawn(["/bin/sh", "-c", RankGuard.RankScript, "disttrain-rank", .. command], environment, [(outputEnd, 1), (errorEnd, 2), (guard.WriteEnd, RankGuard.Descriptor)]);
                }
                catch (IOException problem)
                {
                    failure = problem;
                }
            });
            starter.Start();
            starter.Join();
            if (failure is not null) throw new IOException($"can't start rank {rank}: {failure.Message}", failure);
            return (new RankProcess(rank, id, ended), output, error);
        }
        catch
        {
            NativeProcess.Close(output);
            NativeProcess.Close(error);
            throw;
        }
        finally
        {
            NativeProcess.Close(outputEnd);
            NativeProcess.Close(errorEnd);
        }
    }

    /// <summary>Signals the rank and the children it has in its group. Its id is its own until it is reaped, whether it has ended or not.</summary>
    public void Signal(int signal) => NativeProcess.Kill(-Id, signal);

    private void AwaitEnd()
    {
        (int code, int signal) = NativeProcess.AwaitEnd(Id);
        Exit = new RankExit(Rank, Id, code, signal);
        _ended();
    }
}
