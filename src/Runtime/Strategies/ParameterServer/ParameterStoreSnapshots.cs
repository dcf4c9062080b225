using System.Diagnostics;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A parameter server's checkpoints: variables, optimizer, and which steps are in them. Written by a thread of their own.</summary>
internal sealed class ParameterStoreSnapshots : IDisposable
{
    private readonly CheckpointOptions _options;
    private readonly CheckpointFolder _folder;
    private readonly CheckpointWriter _writer;
    private long _savedAt = Stopwatch.GetTimestamp(), _restoredVersion = -1;

    internal ParameterStoreSnapshots(CheckpointOptions options)
    {
        (_options, _folder) = (options, new CheckpointFolder(options.Place));
        _writer = new CheckpointWriter(_folder, options);
    }

    /// <summary>Goes on from the newest whole snapshot, if there is one.</summary>
    /// <exception cref="StateMismatchException">It is another model's.</exception>
    internal void Restore(StoredVariables variables, StepLedger ledger)
    {
        if (!_options.Resumes || _folder.FindNewest(_options.Say) is not { } manifest) return;
        using CpuDevice host = new("host", InstructionSets.Best, threadCount: 1);
        Load(host, manifest, CheckpointFolder.ModelFile, state => variables.Model.LoadState(variables.Stream, state));
        Load(host, manifest, CheckpointFolder.OptimizerFile, state => variables.Optimizer.LoadState(variables.Stream, state));
        variables.Optimizer.StepCount = manifest.Position.OptimizerStep;
        variables.MarkInitialized();
        if (manifest.Position.Asynchronous is { } steps) ledger.Restore(steps.Floor, steps.DoneAhead);
        else ledger.Restore(manifest.Position.Step, []);
        _restoredVersion = manifest.Position.OptimizerStep;
        _options.Say?.Invoke($"the parameter server goes on from update {manifest.Position.OptimizerStep}, {_folder.PathOf(manifest.Position.Step)}");
    }

    /// <summary>Saves if it is time.</summary>
    internal void AfterUpdate(StoredVariables variables, StepLedger ledger)
    {
        bool isDue = (_options.EveryStepCount > 0 && variables.Version % _options.EveryStepCount == 0) || (_options.Every is { } every && Stopwatch.GetElapsedTime(_savedAt) >= every);
        if (isDue) Save(variables, ledger, waits: false);
    }

    internal void Save(StoredVariables variables, StepLedger ledger, bool waits)
    {
        if (variables.Version == _restoredVersion) return;
        TrainingPosition position = new(variables.Version, variables.Version, 0, null, 0, null, new AsynchronousSteps(ledger.Floor, ledger.DoneAhead));
        SavedState state = new(variables.Model.SaveState(), variables.Optimizer.SaveState());
        if (waits) _writer.SaveNow(variables.Stream, state, position, replicas: 1);
        else if (_writer.Save(variables.Stream, state, position, replicas: 1)) _savedAt = Stopwatch.GetTimestamp();
    }

    public void Dispose() => _writer.Dispose();

    private void Load(CpuDevice host, CheckpointManifest manifest, string file, Action<IReadOnlyDictionary<string, Tensor>> load)
    {
        Dictionary<string, Tensor> state = _folder.Load(host, manifest, file);
        try
        {
            load(state);
        }
        finally
        {
            foreach (Tensor tensor in state.Values) tensor.Dispose();
        }
    }
}
