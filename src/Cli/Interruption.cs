using System.Runtime.InteropServices;

namespace DistTrain.Cli;

/// <summary>
/// SIGINT and SIGTERM end the work between two steps; a second signal ends the process at once. A command that can save itself asks for <see cref="PreemptOnTerminate"/>: then SIGTERM and
/// SIGUSR1, which clusters send before they take a machine away, have it save and stop.
/// </summary>
internal sealed class Interruption : IDisposable
{
    // Not among the named signals of .NET; the number is Linux's on all architectures that .NET runs on.
    private const PosixSignal UserSignal1 = (PosixSignal)10;

    private readonly CancellationTokenSource _source = new(), _preemption = new();
    private readonly PosixSignalRegistration _interrupt, _terminate;
    private readonly Lock _changing = new();
    private PosixSignalRegistration? _user;
    private Action<PosixSignalContext>? _heir;
    private bool _hasCome;

    public Interruption()
    {
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Handle);
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Handle);
    }

    public CancellationToken Token => _source.Token;

    /// <summary>128 plus the signal's number.</summary>
    public int ExitCode { get; private set; } = Cli.ExitCode.Interrupted;

    /// <summary>From now on SIGTERM and SIGUSR1 cancel the token given here, and nothing else, the first time.</summary>
    public CancellationToken PreemptOnTerminate()
    {
        _user ??= PosixSignalRegistration.Create(UserSignal1, Handle);
        return _preemption.Token;
    }

    /// <summary>Takes SIGUSR1 back from a driver that was loaded since: PoCL's compiler, LLVM, has its handler put in the place of ours.</summary>
    public void Renew()
    {
        if (_user is null) return;
        // The runtime puts its handler in place with the first registration alone.
        _user.Dispose();
        _user = PosixSignalRegistration.Create(UserSignal1, Handle);
    }

    /// <summary>
    /// From now on SIGINT and SIGTERM are somebody else's; null: ours again. A signal is handled on a thread that may get a processor much later: it is either in the exception or the heir's, never
    /// lost in between.
    /// </summary>
    /// <exception cref="OperationCanceledException">One came before.</exception>
    public void HandTo(Action<PosixSignalContext>? heir)
    {
        lock (_changing)
        {
            if (_hasCome && heir is not null) throw new OperationCanceledException();
            _heir = heir;
        }
    }

    public void Dispose()
    {
        _interrupt.Dispose();
        _terminate.Dispose();
        _user?.Dispose();
        _source.Dispose();
        _preemption.Dispose();
    }

    internal void Handle(PosixSignalContext context)
    {
        Action<PosixSignalContext>? heir;
        lock (_changing)
        {
            heir = _heir;
            _hasCome |= heir is null;
        }
        if (heir is not null)
        {
            heir(context);
            return;
        }
        if (context.Signal != PosixSignal.SIGINT && _user is not null)
        {
            context.Cancel = true;
            _preemption.Cancel();
            return;
        }
        if (_source.IsCancellationRequested) return;
        context.Cancel = true;
        ExitCode = context.Signal == PosixSignal.SIGTERM ? Cli.ExitCode.Terminated : Cli.ExitCode.Interrupted;
        _source.Cancel();
    }
}
