using System.Text;

namespace DistTrain.Cli;

/// <summary>
/// Kills the ranks if the launcher is killed itself: a small shell that reads a pipe. Each rank adds itself before it becomes the program, and holds the pipe open until then, so that the shell
/// sees the pipe's end only when all who were started are known to it, whenever the launcher dies. (The parent-death signal of Linux would need code in the child, hangs on the thread that
/// started it and forgets grandchildren.)
/// </summary>
internal sealed class RankGuard : IDisposable
{
    /// <summary>The descriptor by which a rank's shell reaches the guard.</summary>
    public const int Descriptor = 3;

    /// <summary>What a rank's shell runs: it makes itself known and becomes the program.</summary>
    public const string RankScript = "echo add $$ >&3 && exec \"$@\" 3>&-";

    private const string GuardScript = """
        trap '' HUP INT TERM USR1 USR2
        ranks=
        while read -r verb id; do
          case $verb in
            add) ranks="$ranks $id" ;;
            del) left=; for rank in $ranks; do [ "$rank" = "$id" ] || left="$left $rank"; done; ranks=$left ;;
          esac
        done
        for rank in $ranks; do kill -s KILL -- "-$rank"; done
        """;

    private static readonly TimeSpan EndTimeout = TimeSpan.FromSeconds(2);

    public RankGuard()
    {
        (int read, int write) = NativeProcess.CreatePipe();
        WriteEnd = write;
        try
        {
            ProcessId = NativeProcess.Spawn(["/bin/sh", "-c", GuardScript, "disttrain-guard"], [$"PATH={Environment.GetEnvironmentVariable("PATH")}"], [(read, 0)]);
        }
        catch
        {
            NativeProcess.Close(write);
            throw;
        }
        finally
        {
            NativeProcess.Close(read);
        }
    }

    /// <summary>Our end of the pipe.</summary>
    public int WriteEnd { get; }

    public int ProcessId { get; }

    /// <summary>A rank's group is gone, and its number may come to be another's.</summary>
    public void Remove(int processId) => NativeProcess.Write(WriteEnd, Encoding.ASCII.GetBytes($"del {processId}\n"));

    /// <summary>Lets the guard go, which has nothing left to do once all ranks are removed.</summary>
    public void Dispose()
    {
        NativeProcess.Close(WriteEnd);
        var waiter = new Thread(() => NativeProcess.AwaitEnd(ProcessId)) { IsBackground = true, Name = "guard" };
        waiter.Start();
        if (!waiter.Join(EndTimeout)) NativeProcess.Kill(ProcessId, SignalName.Kill);
        waiter.Join(EndTimeout);
        NativeProcess.Reap(ProcessId);
    }
}
