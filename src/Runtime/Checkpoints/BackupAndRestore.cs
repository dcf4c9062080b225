using System.Diagnostics;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Saves where training stands and goes on from there, so that a run that was killed ends with the same bits: the <see cref="Trainer"/>'s by <see cref="TrainerOptions.Checkpoints"/>, and those of loops
/// of one's own. Each replica makes one on its thread and calls the same methods. All go on from the same checkpoint; the first writes, or where each has something of its own (slices of variables, gradients that compression keeps
/// back) each its share, on a thread of its own from a snapshot.
/// </summary>
public sealed class BackupAndRestore : IDisposable
{
    private readonly CheckpointOptions _options;
    private readonly ReplicaVariables _variables;
    private readonly IBatchSource? _batches;
    private readonly ulong _seed;
    private readonly CheckpointFolder _folder;
    private readonly CheckpointWriter? _writer;
    private readonly TimeProvider _clock;
    private long _savedAt, _resumedStep = -1;

    /// <summary>Writes nothing yet. Collective where replicas save shares.</summary>
    /// <param name="stream">The replica's.</param>
    /// <param name="variables">What is saved, with their optimizer; stay the caller's.</param>
    /// <param name="options">Where and when; the same on all replicas.</param>
    /// <param name="batches">What is trained on; null: whether a checkpoint was reached with other batches is not looked at.</param>
    /// <param name="seed">The run's; told where a run with another one is gone on from.</param>
    /// <exception cref="ArgumentException">The options contradict each other, or a parameter server has the variables, which saves them itself (<see cref="ParameterStoreOptions.Checkpoints"/>).</exception>
    public BackupAndRestore(ExecutionStream stream, ReplicaVariables variables, CheckpointOptions options, IBatchSource? batches = null, ulong seed = 0)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(variables);
        ArgumentNullException.ThrowIfNull(options);
        if (variables.TakesSteps) throw new ArgumentException($"a parameter server saves its variables itself: set {nameof(ParameterStoreOptions)}.{nameof(ParameterStoreOptions.Checkpoints)} instead", nameof(variables));
        options.Check();
        (_options, _variables, _batches, _seed, _folder) = (options, variables, batches, seed, new CheckpointFolder(options.Place));
        // Its timestamps only ever go forward; what the wall clock and the files' times say decides nothing.
        _clock = options.Clock;
        _savedAt = _clock.GetTimestamp();
        if (variables.SavesShares) _writer = new CheckpointWriter(_folder, options, new CheckpointShare(variables.Shard.Index, variables.Shard.Count, AgreeOnRun(stream)));
        else if (variables.IsFirst) _writer = new CheckpointWriter(_folder, options);
    }

    /// <summary>Time that training has stalled for snapshots.</summary>
    public TimeSpan Stall { get; private set; }

    /// <summary>Numbers that a loop keeps besides, by name, such as the best accuracy so far: the first replica's are saved with every checkpoint; <see cref="Restore"/> brings them back on all.</summary>
    public IDictionary<string, double> Values { get; } = new Dictionary<string, double>();

    /// <summary>Loads the newest whole checkpoint into the variables, which are initialised and otherwise as they were when it was saved. Collective; before the first step.</summary>
    /// <returns>Where the run goes on; null: at its beginning.</returns>
    /// <exception cref="CheckpointException">Another replica found a checkpoint that this one can't see; it is of another version, or of other batches; or none can be read.</exception>
    /// <exception cref="StateMismatchException">It is another model's or optimizer's.</exception>
    public TrainingPosition? Restore(ExecutionStream stream)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (!_options.Resumes) return null;
        CheckpointManifest? manifest = _variables.IsFirst ? _folder.FindNewest(_options.Say) : null;
        double[] step = [manifest is null ? 0 : manifest.Position.Step + 1];
        _variables.Sum(stream, step);
        _writer?.GoOnFrom((long)step[0] - 1);
        if (step[0] == 0) return null;
        manifest ??= _folder.ReadManifest((long)step[0] - 1);
        CheckCode(manifest);
        CheckBatches(manifest.Position);
        using CpuDevice host = new("host", InstructionSets.Best, threadCount: 1);
        Load(stream, host, manifest, CheckpointFolder.ModelFile, state => _variables.LoadModel(stream, state));
        Load(stream, host, manifest, CheckpointFolder.OptimizerFile, state => _variables.LoadOptimizer(stream, state));
        ResidualFiles residuals = new(_folder, manifest);
        residuals.Load(stream, host, _variables);
        _variables.OnLoaded(stream);
        _variables.Optimizer.StepCount = manifest.Position.OptimizerStep;
        if (manifest.Position.LossScale is { } scale) _variables.LossScaler?.Load(scale);
        Values.Clear();
        foreach ((string name, double value) in manifest.Position.Values ?? new Dictionary<string, double>()) Values[name] = value;
        _resumedStep = manifest.Position.Step;
        if (_variables.IsFirst) TellOf(manifest.Position, residuals);
        return manifest.Position;
    }

    /// <summary>Saves if it is time. Blocks for the snapshot only. All replicas call it behind every step.</summary>
    /// <param name="stream">The replica's.</param>
    /// <param name="step">Steps done: the number of the step that comes next.</param>
    /// <param name="feed">What the steps' batches came from.</param>
    /// <param name="endsEpoch">Whether this was an epoch's last step.</param>
    /// <param name="validationLoss">What the epoch is judged by; null: it is not.</param>
    public void AfterStep(ExecutionStream stream, long step, IBatchFeed feed, bool endsEpoch = false, double? validationLoss = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(feed);
        AfterStep(stream, () => PositionAt(step, feed, validationLoss), step, endsEpoch);
    }

    /// <summary>
    /// Saves, unless this step is saved already, and waits until the checkpoint is whole on the disk, whoever writes it: at the end of a run, or when it is asked to stop. Collective. A failure is
    /// tried again for <see cref="CheckpointOptions.RetryFor"/>.
    /// </summary>
    /// <inheritdoc cref="AfterStep(ExecutionStream, long, IBatchFeed, bool, double?)"/>
    /// <exception cref="CheckpointException">It could not be written, by this replica or by another.</exception>
    public void SaveNow(ExecutionStream stream, long step, IBatchFeed feed, double? validationLoss = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(feed);
        SaveTogether(stream, PositionAt(step, feed, validationLoss));
    }

    /// <summary>Whether a checkpoint is asked for behind this step, whatever the clock says: the same on all replicas.</summary>
    internal bool IsDue(long step, bool endsEpoch) => (_options.EveryStepCount > 0 && step % _options.EveryStepCount == 0) || (endsEpoch && _options.EveryEpoch);

    /// <summary>Saves if it is time.</summary>
    internal void AfterStep(ExecutionStream stream, Func<TrainingPosition> position, long step, bool endsEpoch)
    {
        if (_writer is null) return;
        bool isDue = IsDue(step, endsEpoch);
        bool isTime = _options.Every is { } every && _clock.GetElapsedTime(_savedAt) >= every;
        if (_variables.SavesShares ? AgreeToSave(stream, isDue, isTime, step) : isDue || isTime) Save(stream, position());
    }

    /// <summary>Saves and waits until it is on the disk, unless this step is saved already.</summary>
    /// <exception cref="CheckpointException">It could not be written.</exception>
    internal void SaveNow(ExecutionStream stream, TrainingPosition position)
    {
        if (_writer is null || position.Step == _resumedStep) return;
        long began = Stopwatch.GetTimestamp();
        using ActivityScope measured = MeasuredActivity.CheckpointStall.Begin();
        if (_variables.SavesShares) SaveSharesNow(stream, position);
        else _writer.SaveNow(stream, _variables.State(), position, _variables.Shard.Count);
        Stall += Stopwatch.GetElapsedTime(began);
    }

    /// <summary>The same, after which every replica knows that the checkpoint is whole, whoever wrote it: for one that leaves at once, and with whom a launcher would end the others. Collective.</summary>
    /// <exception cref="CheckpointException">It could not be written, by this replica or by another.</exception>
    internal void SaveTogether(ExecutionStream stream, TrainingPosition position)
    {
        CheckpointException? failure = null;
        try
        {
            SaveNow(stream, position);
        }
        catch (CheckpointException own)
        {
            failure = own;
        }
        AgreeOnSuccess(stream, failure, position.Step);
    }

    /// <summary>Waits for what is being written.</summary>
    public void Dispose() => _writer?.Dispose();

    private TrainingPosition PositionAt(long step, IBatchFeed feed, double? validationLoss) =>
        new(step, _variables.Optimizer.StepCount, _seed, feed.Save().ToBytes().ToArray(), _batches?.SamplesBefore(step) ?? 0, validationLoss, LossScale: _variables.LossScaler?.Save())
        {
            Values = Values.Count == 0 ? null : new Dictionary<string, double>(Values),
        };

    private void Save(ExecutionStream stream, TrainingPosition position)
    {
        long began = Stopwatch.GetTimestamp();
        using ActivityScope measured = MeasuredActivity.CheckpointStall.Begin();
        if (_writer!.Save(stream, _variables.State(), position, _variables.Shard.Count)) _savedAt = _clock.GetTimestamp();
        Stall += Stopwatch.GetElapsedTime(began);
    }

    private long AgreeOnRun(ExecutionStream stream)
    {
        // Exact as a double.
        double[] run = [_variables.IsFirst ? Random.Shared.NextInt64(1L << 48) : 0];
        _variables.Sum(stream, run);
        return (long)run[0];
    }

    // All begin together: when nobody writes any more, by the first one's clock.
    private bool AgreeToSave(ExecutionStream stream, bool isDue, bool isTime, long step)
    {
        if (!isDue && _options.Every is null) return false;
        bool saves = isDue || (_variables.IsFirst && isTime);
        double[] votes = [_variables.IsFirst && saves ? 1 : 0, _writer!.IsIdle ? 0 : 1];
        _variables.Sum(stream, votes);
        if (votes[0] == 0 || votes[1] > 0) return false;
        Prepare(stream, step);
        return true;
    }

    // Shares of an earlier try are about to change: nothing must vouch for them.
    private void Prepare(ExecutionStream stream, long step)
    {
        if (_variables.IsFirst) _folder.DeleteManifest(step);
        _variables.Sum(stream, new double[1]);
    }

    private void SaveSharesNow(ExecutionStream stream, TrainingPosition position)
    {
        _writer!.WaitUntilIdle();
        // Where one of them has not written this step, or failed to, all write it anew: what each knows of itself decides nothing alone.
        double[] missing = [_writer.LastStep == position.Step ? 0 : 1];
        _variables.Sum(stream, missing);
        if (missing[0] == 0) return;
        _writer.ForgetLastStep();
        Prepare(stream, position.Step);
        CheckpointException? failure = null;
        try
        {
            _writer.SaveNow(stream, _variables.State(), position, _variables.Shard.Count);
        }
        catch (CheckpointException own)
        {
            failure = own;
        }
        AgreeOnSuccess(stream, failure, position.Step);
    }

    private void AgreeOnSuccess(ExecutionStream stream, CheckpointException? failure, long step)
    {
        double[] failures = [failure is null ? 0 : 1];
        _variables.Sum(stream, failures);
        if (failure is not null) throw failure;
        if (failures[0] > 0) throw new CheckpointException($"the checkpoint of step {step} is not complete: {failures[0]:f0} of {_variables.Shard.Count} replicas could not write their part of it");
    }

    private void TellOf(TrainingPosition position, ResidualFiles residuals)
    {
        _options.Say?.Invoke($"going on from the checkpoint of step {position.Step} in {_folder.Place}");
        if (position.Seed != _seed) _options.Say?.Invoke($"the checkpoint's run had seed {position.Seed}, this one has {_seed}: it goes on with other random numbers");
        if (residuals.DifferenceTo(_variables) is { } difference) _options.Say?.Invoke(difference);
    }

    // So many steps of other batches have other samples. Asynchronous steps were counted otherwise, and a loop that did not tell its batches has not counted any.
    private void CheckBatches(TrainingPosition position)
    {
        if (position.SampleCount > 0 && _batches?.SamplesBefore(position.Step) is { } expected && position.SampleCount != expected)
            throw new CheckpointException($"{_folder.PathOf(position.Step)} was reached after {position.SampleCount:N0} samples in {position.Step} steps; of this run's batches so many steps take {expected:N0}: samples would be missing "
                + $"or doubled. Go on with the data and the batch size of before, and where each replica reads files of its own ({nameof(ShardPolicy)}.{nameof(ShardPolicy.File)}) as many replicas; or begin anew in another folder");
    }

    private void CheckCode(CheckpointManifest manifest)
    {
        if (manifest.Code == CheckpointManifest.CurrentCode) return;
        string found = $"{_folder.PathOf(manifest.Position.Step)} was written by version {manifest.Code}, this is {CheckpointManifest.CurrentCode}";
        if (!manifest.IsOfThisCode) throw new CheckpointException($"{found}: the run would not go on as it began; go on with the version that wrote it, or begin anew in another folder") { IsOtherVersion = true };
        if (_variables.IsFirst) _options.Say?.Invoke($"{found}: the last bits may differ");
    }

    private void Load(ExecutionStream stream, CpuDevice host, CheckpointManifest manifest, string file, Action<IReadOnlyDictionary<string, Tensor>> load)
    {
        Dictionary<string, Tensor> state = _folder.Load(host, manifest, file);
        try
        {
            load(state);
        }
        catch (StateMismatchException difference)
        {
            throw difference.In($"{_folder.PathOf(manifest.Position.Step)}, {file}: it is another model's or optimizer's");
        }
        finally
        {
            stream.Synchronize();
            foreach (Tensor tensor in state.Values) tensor.Dispose();
        }
    }
}
