using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The slices that one replica owns of a model's trained parameters, as hidden parameters of the same names for an optimizer: one for each part of a parameter.</summary>
internal sealed class ShardedSlices : IDisposable
{
    private readonly OwnedRange[] _ranges;

    /// <summary>Takes the parameters' values over, which must be the same on all replicas.</summary>
    internal ShardedSlices(Replica replica, IReadOnlyList<Parameter> trained, VariableOptions options, int stage)
    {
        Trained = trained;
        int[] modules = new int[trained.Count];
        for (int i = 1; i < modules.Length; i++) modules[i] = trained[i].IsBeside(trained[i - 1]) ? modules[i - 1] : modules[i - 1] + 1;
        Layout = ShardLayout.Create([.. trained.Select(parameter => parameter.Shape.ElementCount)], modules, replica.Count, options.BucketByteCount / sizeof(float), options.FirstBucketByteCount / sizeof(float));
        Values = new ShardedValues(replica.Stream, replica.Communicator, Layout, trained, areSharded: stage == 3);
        _ranges = [.. Layout.OwnedBy(replica.Index).OrderBy(range => range.Parameter)];
        Tensor[] views = In([.. Values.Units.Select(unit => unit.Slice)]);
        Parameters = [.. views.Select((view, i) => trained[_ranges[i].Parameter].Part(view))];
    }

    /// <summary>Who owns what.</summary>
    internal ShardLayout Layout { get; }

    /// <summary>The parameters that are divided, in the model's order.</summary>
    internal IReadOnlyList<Parameter> Trained { get; }

    /// <summary>Their values.</summary>
    internal ShardedValues Values { get; }

    /// <summary>What this replica owns, in the model's order.</summary>
    internal IReadOnlyList<OwnedRange> Ranges => _ranges;

    /// <summary>A hidden parameter [n] for each of the ranges.</summary>
    internal IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>A view [n] for each of the ranges into slices, one a unit; the caller disposes them.</summary>
    internal Tensor[] In(IReadOnlyList<Tensor> slices) => [.. _ranges.Select(range => slices[range.Unit].Slice((int)range.FirstInSlice, (int)range.ElementCount))];

    /// <summary>Makes sure that an optimizer over slices has all that it was given.</summary>
    internal Optimizer Covered(Optimizer optimizer)
    {
        if (optimizer.Parameters.Count == Parameters.Count) return optimizer;
        string missing = Parameters.First(parameter => !optimizer.Parameters.Contains(parameter)).Name;
        optimizer.Dispose();
        throw new ArgumentException($"the optimizer leaves out '{missing}' when it is made over slices, which are vectors: choose parameters by names, not by shapes", nameof(optimizer));
    }

    /// <summary>What this replica owns of model and optimizer, with the places it has in whole tensors.</summary>
    /// <param name="model">The model.</param>
    /// <param name="optimizer">Over the hidden parameters.</param>
    /// <param name="withRest">Whether with what is not divided: other parameters and running statistics.</param>
    internal SavedState State(Module model, Optimizer optimizer, bool withRest)
    {
        OrderedDictionary<string, Tensor> values = [];
        Dictionary<string, CheckpointPart> parts = [];
        for (int i = 0; i < _ranges.Length; i++)
        {
            values.Add(Parameters[i].Name, Parameters[i].Value);
            parts.Add(Parameters[i].Name, PartOf(_ranges[i]));
        }
        if (withRest)
        {
            foreach (Parameter parameter in model.Parameters().Except(Trained)) values.Add(parameter.Name, parameter.Value);
            foreach (StateTensor state in model.StateTensors()) values.Add(state.Name, state.Value);
        }
        Dictionary<string, CheckpointPart> ofParameters = new(parts);
        IReadOnlyDictionary<string, Tensor> moments = optimizer.SaveState();
        foreach (string name in moments.Keys) parts.Add(name, ofParameters[ParameterOf(name)]);
        return new SavedState(values, moments, parts);
    }

    /// <summary>Loads the parts of whole tensors of optimizer state that this replica owns.</summary>
    /// <exception cref="StateMismatchException">They are another optimizer's.</exception>
    internal void Load(ExecutionStream stream, Optimizer optimizer, IReadOnlyDictionary<string, Tensor> state)
    {
        Dictionary<string, Parameter> trained = Trained.ToDictionary(parameter => parameter.Name);
        string[] unexpected = [.. state.Keys.Where(name => !trained.ContainsKey(ParameterOf(name)))];
        string[] mismatched = [.. state.Where(entry => trained.TryGetValue(ParameterOf(entry.Key), out Parameter? parameter) && parameter.Shape != entry.Value.Shape)
            .Select(entry => $"{entry.Key} is {entry.Value.Shape}, expected {trained[ParameterOf(entry.Key)].Shape}")];
        if (unexpected.Length + mismatched.Length > 0) throw new StateMismatchException([], unexpected, mismatched);
        Dictionary<string, OwnedRange> owned = _ranges.ToDictionary(range => Trained[range.Parameter].Name);
        Dictionary<string, Tensor> parts = [];
        foreach ((string name, Tensor whole) in state)
        {
            if (!owned.TryGetValue(ParameterOf(name), out OwnedRange range)) continue;
            using Tensor flat = whole.Reshape(new Shape(checked((int)whole.ElementCount)));
            parts.Add(name, flat.Slice((int)range.First, (int)range.ElementCount));
        }
        try
        {
            optimizer.LoadState(stream, parts);
        }
        finally
        {
            stream.Synchronize();
            foreach (Tensor part in parts.Values) part.Dispose();
        }
    }

    // A state tensor is called as its parameter, with one name more.
    private static string ParameterOf(string name) => name[..Math.Max(0, name.LastIndexOf('.'))];

    private CheckpointPart PartOf(OwnedRange range) => new([.. Trained[range.Parameter].Shape.Dimensions], range.First, range.ElementCount);

    public void Dispose()
    {
        foreach (Parameter parameter in Parameters) parameter.Free();
        Values.Dispose();
    }
}
