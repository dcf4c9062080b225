using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Writes checkpoints on a thread of its own, from snapshots: training stalls for the copy only. One is written at a time; asked for another before that is done, it declines, unless it is
/// told to wait. A checkpoint that can't be written is told of and tried again with the next; those before it are untouched.
/// </summary>
internal sealed class CheckpointWriter : IDisposable
{
    private readonly CheckpointFolder _folder;
    private readonly CheckpointOptions _options;
    private readonly StateSnapshot _model = new(), _optimizer = new();
    private readonly Thread _thread;
    private readonly Lock _lock = new();
    private readonly ManualResetEventSlim _wake = new(), _idle = new(initialState: true);
    private (TrainingPosition Position, int Replicas)? _next;
    private (long Step, double Loss)? _best;
    private bool _isClosed;
    private Exception? _lastFailure;

    internal CheckpointWriter(CheckpointFolder folder, CheckpointOptions options)
    {
        (_folder, _options) = (folder, options);
        if (options.Resumes && options.KeepsBest) _best = folder.FindBest();
        _thread = new Thread(Work) { IsBackground = true, Name = "checkpoints" };
        _thread.Start();
    }

    /// <summary>Checkpoints that were completed.</summary>
    internal int WrittenCount { get; private set; }

    /// <summary>Takes a snapshot and has it written. Blocks for the copy; with <paramref name="waits"/> until it is on the disk.</summary>
    /// <returns>Whether it was taken; false while the one before is being written.</returns>
    /// <exception cref="CheckpointException">With <paramref name="waits"/>: it could not be written.</exception>
    internal bool Save(ExecutionStream stream, Module model, Optimizer optimizer, TrainingPosition position, int replicas, bool waits)
    {
        if (waits) _idle.Wait();
        else if (!_idle.IsSet) return false;
        _model.Take(stream, model.SaveState());
        _optimizer.Take(stream, optimizer.SaveState());
        lock (_lock)
        {
            _next = (position, replicas);
            _idle.Reset();
            _wake.Set();
        }
        if (!waits) return true;
        _idle.Wait();
        if (_lastFailure is { } failure) throw new CheckpointException($"the checkpoint of step {position.Step} could not be written to {_folder.PathOf(position.Step)}: {failure.Message}", failure);
        return true;
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
        _wake.Dispose();
        _idle.Dispose();
    }

    private void Work()
    {
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
            _folder.Write(position, replicas, _model, _optimizer);
            WrittenCount++;
            _lastFailure = null;
            if (_options.KeepsBest && position.ValidationLoss is { } loss && (_best is null || loss < _best.Value.Loss)) _best = (position.Step, loss);
            _folder.Prune(_options.KeepCount, _best?.Step ?? -1);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException or ArgumentException)
        {
            _lastFailure = failure;
            _options.Say?.Invoke($"the checkpoint of step {position.Step} could not be written to {_folder.PathOf(position.Step)}: {failure.Message}; the ones before it are untouched, the next is tried");
        }
    }
}
