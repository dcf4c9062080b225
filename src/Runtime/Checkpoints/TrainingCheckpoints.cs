using System.Diagnostics;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A trainer's checkpoints: finds where to go on, and saves when it is time. All replicas go on from the same one; the first writes, or where variables are sharded each its share.</summary>
internal sealed class TrainingCheckpoints : IDisposable
{
    private readonly CheckpointOptions _options;
    private readonly ReplicaVariables _variables;
    private readonly CheckpointFolder _folder;
    private readonly CheckpointWriter? _writer;
    private readonly TimeProvider _clock;
    private long _savedAt, _resumedStep = -1;

    /// <summary>Collective where replicas save shares.</summary>
    internal TrainingCheckpoints(ExecutionStream stream, CheckpointOptions options, ReplicaVariables variables)
    {
        options.Check();
        (_options, _variables, _folder) = (options, variables, new CheckpointFolder(options.Place));
        // Its timestamps only ever go forward; what the wall clock and the files' times say decides nothing.
        _clock = options.Clock;
        _savedAt = _clock.GetTimestamp();
        if (variables.SavesShares) _writer = new CheckpointWriter(_folder, options, new CheckpointShare(variables.Shard.Index, variables.Shard.Count, AgreeOnRun(stream)));
        else if (variables.IsFirst) _writer = new CheckpointWriter(_folder, options);
    }

    /// <summary>Time that training has stalled for snapshots.</summary>
    internal TimeSpan Stall { get; private set; }

    /// <summary>Loads the newest whole checkpoint into the variables. Collective.</summary>
    /// <returns>Where the run goes on; null: at its beginning.</returns>
    /// <exception cref="CheckpointException">Another replica found a checkpoint that this one can't see; it is of another version; or none can be read.</exception>
    /// <exception cref="StateMismatchException">It is another model's.</exception>
    internal TrainingPosition? Resume(ExecutionStream stream)
    {
        if (!_options.Resumes) return null;
        CheckpointManifest? manifest = _variables.IsFirst ? _folder.FindNewest(_options.Say) : null;
        double[] step = [manifest is null ? 0 : manifest.Position.Step + 1];
        _variables.Sum(stream, step);
        _writer?.GoOnFrom((long)step[0] - 1);
        if (step[0] == 0) return null;
        manifest ??= _folder.ReadManifest((long)step[0] - 1);
        CheckCode(manifest);
        using CpuDevice host = new("host", InstructionSets.Best, threadCount: 1);
        Load(stream, host, manifest, CheckpointFolder.ModelFile, state => _variables.LoadModel(stream, state));
        Load(stream, host, manifest, CheckpointFolder.OptimizerFile, state => _variables.LoadOptimizer(stream, state));
        _variables.OnLoaded(stream);
        _variables.Optimizer.StepCount = manifest.Position.OptimizerStep;
        if (manifest.Position.LossScale is { } scale) _variables.LossScaler?.Load(scale);
        _resumedStep = manifest.Position.Step;
        if (_variables.IsFirst) _options.Say?.Invoke($"going on from the checkpoint of step {manifest.Position.Step} in {_folder.Place}");
        if (_variables.IsFirst && _variables.Compression is { KeepsState: true } compression)
            _options.Say?.Invoke($"gradient compression {compression.Name} had kept gradients back, which are not in the checkpoint: the run goes on without them, not bit for bit as the unbroken one would");
        return manifest.Position;
    }

    /// <summary>Saves if it is time.</summary>
    internal void AfterStep(ExecutionStream stream, Func<TrainingPosition> position, long step, bool endsEpoch)
    {
        if (_writer is null) return;
        bool isDue = (_options.EveryStepCount > 0 && step % _options.EveryStepCount == 0) || (endsEpoch && _options.EveryEpoch);
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

    public void Dispose() => _writer?.Dispose();

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
