using System.Diagnostics;
using System.Runtime.ExceptionServices;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Writes checkpoints on a thread of its own, from snapshots: training stalls for the copy only. One is written at a time; asked for another before that is done, it declines. A checkpoint
/// that can't be written is told of and tried again with the next; those before it are untouched.
/// </summary>
internal sealed class CheckpointWriter : IDisposable
{
    private static readonly TimeSpan s_firstPause = TimeSpan.FromMilliseconds(200);
    private readonly CheckpointFolder _folder;
    private readonly CheckpointOptions _options;
    private readonly CheckpointShare? _share;
    private readonly StateSnapshot _model = new(), _optimizer = new(), _residuals = new();
    private readonly Thread _thread;
    private readonly Lock _lock = new();
    private readonly ManualResetEventSlim _wake = new(), _idle = new(initialState: true);
    private (TrainingPosition Position, int Replicas)? _next;
    private IReadOnlyDictionary<string, CheckpointPart>? _parts;
    private (long Step, double Loss)? _best;
    private IReadOnlyList<long> _former = [];
    private volatile bool _isClosed;
    private Exception? _lastFailure;
    private ExceptionDispatchInfo? _toldInVain;
    private long _lastStep = -1, _failedStep = -1;

    /// <param name="folder">Where.</param>
    /// <param name="options">What is kept.</param>
    /// <param name="share">This replica's share of what all write together; null: it writes everything.</param>
    internal CheckpointWriter(CheckpointFolder folder, CheckpointOptions options, CheckpointShare? share = null)
    {
        (_folder, _options, _share) = (folder, options, share);
        if (Cleans && !options.Resumes) _former = folder.Steps;
        Replica? replica = Replica.Current;
        _thread = new Thread(() => Work(replica)) { IsBackground = true, Name = "checkpoints" };
        _thread.Start();
    }

    /// <summary>Whether nothing is being written.</summary>
    internal bool IsIdle => _idle.IsSet;

    /// <summary>The step written last; -1: none yet.</summary>
    internal long LastStep => _lastStep;

    /// <summary>Waits for what is being written.</summary>
    internal void WaitUntilIdle()
    {
        _idle.Wait();
        _toldInVain?.Throw();
    }

    // One removes old checkpoints for all.
    private bool Cleans => _share is null or { Rank: 0 };

    /// <summary>
    /// Says where the run goes on. Checkpoints of later steps are damaged, or of steps that are now taken again: they count no more, and go once a new one is whole.
    /// </summary>
    /// <param name="step">Of the checkpoint that was loaded; -1: of none.</param>
    internal void GoOnFrom(long step)
    {
        if (!Cleans) return;
        _former = [.. _folder.Steps.Where(later => later > step)];
        if (_options.KeepsBest) _best = _folder.FindBest(step);
    }

    /// <summary>Has the step that was written last written again when it is asked for.</summary>
    internal void ForgetLastStep() => _lastStep = -1;

    /// <summary>Takes a snapshot and has it written. Blocks for the copy.</summary>
    /// <returns>Whether it was taken; false while the one before is being written.</returns>
    internal bool Save(ExecutionStream stream, SavedState state, TrainingPosition position, int replicas)
    {
        if (!_idle.IsSet) return false;
        _toldInVain?.Throw();
        using (MeasuredActivity.CheckpointSnapshot.Begin())
        {
            _model.Take(stream, state.Model);
            _optimizer.Take(stream, state.Optimizer);
            _residuals.Take(stream, state.Residuals ?? new Dictionary<string, Tensor>());
        }
        _parts = state.Parts;
        lock (_lock)
        {
            _next = (position, replicas);
            _idle.Reset();
            _wake.Set();
        }
        return true;
    }

    /// <summary>The same for a checkpoint that must not be missing: waits until it is on the disk, and tries again for a while if that fails. One that is there already is not written again.</summary>
    /// <exception cref="CheckpointException">It could not be written.</exception>
    internal void SaveNow(ExecutionStream stream, SavedState state, TrainingPosition position, int replicas)
    {
        long began = Stopwatch.GetTimestamp();
        TimeSpan pause = s_firstPause;
        WaitUntilIdle();
        while (_lastStep != position.Step)
        {
            Save(stream, state, position, replicas);
            WaitUntilIdle();
            if (_lastFailure is not { } failure) return;
            if (Stopwatch.GetElapsedTime(began) + pause > _options.RetryFor)
                throw new CheckpointException($"the checkpoint of step {position.Step} could not be written to {_folder.PathOf(position.Step)}: {failure.Message}", failure);
            Thread.Sleep(pause);
            pause *= 2;
        }
    }

    /// <summary>Waits for what is being written.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _isClosed = true;
            _wake.Set();
        }
        _thread.Join();
        _model.Dispose();
        _optimizer.Dispose();
        _residuals.Dispose();
        _wake.Dispose();
        _idle.Dispose();
    }

    private void Work(Replica? replica)
    {
        Replica.Current = replica;
        while (true)
        {
            _wake.Wait();
            (TrainingPosition Position, int Replicas)? next;
            lock (_lock)
            {
                (next, _next) = (_next, null);
                if (next is null && _isClosed) return;
                if (!_isClosed) _wake.Reset();
            }
            if (next is { } work) Write(work.Position, work.Replicas);
            _idle.Set();
        }
    }

    private void Write(TrainingPosition position, int replicas)
    {
        try
        {
            using (MeasuredActivity.CheckpointWrite.Begin())
            {
                if (_share is null) _folder.Write(position, replicas, _model, _optimizer);
                else _folder.WriteShare(position, _share, _model, _optimizer, _residuals, _parts, CheckpointShare.LongestWait, () => _isClosed);
            }
            (_lastStep, _lastFailure) = (position.Step, null);
        }
#pragma warning disable CA1031 // A storage may throw anything; on this thread it would end the process.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            // Tries at the same one follow each other closely.
            bool isNews = _lastFailure?.Message != failure.Message || _failedStep != position.Step;
            (_lastFailure, _failedStep) = (failure, position.Step);
            if (isNews) Tell($"the checkpoint of step {position.Step} could not be written to {_folder.PathOf(position.Step)}: {failure.Message}; the ones before it are untouched, the next is tried");
            return;
        }
        if (_options.KeepsBest && position.ValidationLoss is { } loss && !double.IsNaN(loss) && (_best is null || loss < _best.Value.Loss)) _best = (position.Step, loss);
        if (Cleans) Prune(position.Step);
    }

    // What the user's own code throws here would end the process: the training thread throws it.
    private void Tell(string message)
    {
        try
        {
            _options.Say?.Invoke(message);
        }
#pragma warning disable CA1031 // As above.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            _toldInVain ??= ExceptionDispatchInfo.Capture(failure);
        }
    }

    private void Prune(long written)
    {
        try
        {
            // A run that begins anew must never be gone on from another's, nor one that went back from what it has left.
            long[] former = [.. _former.Where(step => step != written)];
            if (former.Length > 0) Tell($"the {former.Length} checkpoint(s) of {(_options.Resumes ? "later steps, which this run went back from," : "the run before")} are removed from {_folder.Place}");
            foreach (long step in former) _folder.Remove(step);
            _former = [];
            _folder.Prune(written, _options.KeepCount, _best?.Step ?? -1);
        }
#pragma warning disable CA1031 // As above. The checkpoint is written all the same.
        catch (Exception failure)
#pragma warning restore CA1031
        {
            Tell($"checkpoints older than that of step {written} could not be removed: {failure.Message}; it is tried again with the next");
        }
    }
}
