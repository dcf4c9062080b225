using System.Diagnostics;
using System.Runtime.InteropServices;

namespace DistTrain.Cli;

/// <summary>
/// The signals that the launcher passes on: SIGINT, SIGTERM and SIGHUP, which end the job, and SIGUSR1 and SIGUSR2, which mean what the program says. A second SIGINT, or the grace time after the
/// first signal that ends the job, lets nobody wait any longer.
/// </summary>
internal sealed class LaunchSignals : IDisposable
{
    private readonly TimeSpan _grace;
    private readonly Interruption _interruption;
    private readonly PosixSignalRegistration[] _registrations;
    private readonly CancellationTokenSource _stopping = new();
    private readonly Lock _changing = new();
    private readonly List<int> _missed = [];
    private Action<int>? _forward;
    private long _stoppedAt;
    private int _interruptCount;
    private volatile int _stopSignal;
    private volatile bool _wasWarned;

    /// <param name="grace">How long ranks have, from the first signal that ends the job.</param>
    /// <param name="interruption">Who has SIGINT and SIGTERM until now.</param>
    /// <exception cref="OperationCanceledException">One of the two came before.</exception>
    public LaunchSignals(TimeSpan grace, Interruption interruption)
    {
        (_grace, _interruption) = (grace, interruption);
        interruption.HandTo(context => Handle(context, context.Signal is PosixSignal.SIGINT ? SignalName.Interrupt : SignalName.Terminate));
        int[] raw = [SignalName.User1, SignalName.User2];
        _registrations =
        [
            PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => Handle(context, SignalName.Hangup)),
            .. raw.Select(signal => PosixSignalRegistration.Create((PosixSignal)signal, context => Handle(context, signal))),
        ];
    }

    /// <summary>The first signal that ends the job; 0: none came.</summary>
    public int StopSignal => _stopSignal;

    /// <summary>SIGUSR1 came, by which clusters announce that they take the machine: who then leaves with the retryable code is not started again here.</summary>
    public bool WasWarned => _wasWarned;

    /// <summary>Cancelled by the first signal that ends the job.</summary>
    public CancellationToken Stopping => _stopping.Token;

    /// <summary>The grace time is over, or SIGINT came twice.</summary>
    public bool MustKill => Volatile.Read(ref _interruptCount) > 1 || (StopSignal != 0 && Stopwatch.GetElapsedTime(Volatile.Read(ref _stoppedAt)) >= _grace);

    /// <summary>Whom signals go to from now on, those first that came while nobody was there; null: nobody is there.</summary>
    public void ForwardTo(Action<int>? forward)
    {
        lock (_changing)
        {
            _forward = forward;
            if (forward is null) return;
            foreach (int signal in _missed) forward(signal);
            _missed.Clear();
        }
    }

    public void Dispose()
    {
        _interruption.HandTo(null);
        foreach (PosixSignalRegistration registration in _registrations) registration.Dispose();
        _stopping.Dispose();
    }

    private void Handle(PosixSignalContext context, int signal)
    {
        context.Cancel = true;
        if (signal == SignalName.Interrupt) Interlocked.Increment(ref _interruptCount);
        if (signal == SignalName.User1) _wasWarned = true;
        bool isFirst = false;
        lock (_changing)
        {
            if (signal is SignalName.Interrupt or SignalName.Terminate or SignalName.Hangup && _stopSignal == 0)
            {
                Volatile.Write(ref _stoppedAt, Stopwatch.GetTimestamp());
                _stopSignal = signal;
                isFirst = true;
            }
            if (_forward is not null) _forward(signal);
            else if (!_missed.Contains(signal)) _missed.Add(signal);
        }
        if (isFirst) _stopping.Cancel();
    }
}
