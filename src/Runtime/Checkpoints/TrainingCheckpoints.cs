using System.Diagnostics;
using DistTrain.Ingest;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A trainer's checkpoints: finds where to go on, and saves when it is time. All replicas go on from the same one; the first writes.</summary>
internal sealed class TrainingCheckpoints : IDisposable
{
    private readonly CheckpointOptions _options;
    private readonly ReplicaVariables _variables;
    private readonly CheckpointFolder _folder;
    private readonly CheckpointWriter? _writer;
    private long _savedAt = Stopwatch.GetTimestamp(), _savedStep = -1;

    internal TrainingCheckpoints(CheckpointOptions options, ReplicaVariables variables)
    {
        options.Check();
        (_options, _variables, _folder) = (options, variables, new CheckpointFolder(options.Place));
        if (variables.IsFirst) _writer = new CheckpointWriter(_folder, options);
    }

    /// <summary>Time that training has stalled for snapshots.</summary>
    internal TimeSpan Stall { get; private set; }

    /// <summary>Loads the newest whole checkpoint into the variables. Collective.</summary>
    /// <returns>Where the run goes on; null: at its beginning.</returns>
    /// <exception cref="CheckpointException">Another replica found a checkpoint that this one can't see.</exception>
    /// <exception cref="StateMismatchException">It is another model's.</exception>
    internal TrainingPosition? Resume(ExecutionStream stream)
    {
        if (!_options.Resumes) return null;
        CheckpointManifest? manifest = _variables.IsFirst ? _folder.FindNewest(_options.Say) : null;
        double[] step = [manifest is null ? 0 : manifest.Position.Step + 1];
        _variables.Sum(stream, step);
        if (step[0] == 0) return null;
        manifest ??= _folder.ReadManifest((long)step[0] - 1);
        using CpuDevice host = new("host", InstructionSets.Best, threadCount: 1);
        Load(stream, _folder.Load(host, manifest, CheckpointFolder.ModelFile), state => _variables.Model.LoadState(stream, state));
        Load(stream, _folder.Load(host, manifest, CheckpointFolder.OptimizerFile), state => _variables.Optimizer.LoadState(_variables.OptimizerStream(stream), state));
        _variables.OnLoaded(stream);
        _variables.Optimizer.StepCount = manifest.Position.OptimizerStep;
        _savedStep = manifest.Position.Step;
        if (_variables.IsFirst) _options.Say?.Invoke($"going on from the checkpoint of step {manifest.Position.Step} in {_folder.Place}");
        return manifest.Position;
    }

    /// <summary>Saves if it is time.</summary>
    internal void AfterStep(ExecutionStream stream, Func<TrainingPosition> position, long step, bool endsEpoch)
    {
        if (_writer is null) return;
        bool isDue = (_options.EveryStepCount > 0 && step % _options.EveryStepCount == 0) || (endsEpoch && _options.EveryEpoch)
            || (_options.Every is { } every && Stopwatch.GetElapsedTime(_savedAt) >= every);
        if (isDue) Save(stream, position(), waits: false);
    }

    /// <summary>Saves and waits until it is on the disk, unless this step is saved already.</summary>
    /// <exception cref="CheckpointException">It could not be written.</exception>
    internal void SaveNow(ExecutionStream stream, TrainingPosition position)
    {
        if (_writer is not null && position.Step != _savedStep) Save(stream, position, waits: true);
    }

    public void Dispose() => _writer?.Dispose();

    private void Save(ExecutionStream stream, TrainingPosition position, bool waits)
    {
        long began = Stopwatch.GetTimestamp();
        if (_writer!.Save(stream, _variables.Model, _variables.Optimizer, position, _variables.Shard.Count, waits)) (_savedAt, _savedStep) = (Stopwatch.GetTimestamp(), position.Step);
        Stall += Stopwatch.GetElapsedTime(began);
    }

    private static void Load(ExecutionStream stream, Dictionary<string, Tensor> state, Action<IReadOnlyDictionary<string, Tensor>> load)
    {
        try
        {
            load(state);
        }
        finally
        {
            stream.Synchronize();
            foreach (Tensor tensor in state.Values) tensor.Dispose();
        }
    }
}
