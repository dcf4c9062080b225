using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Changes parameters by their gradients. Holds the state tensors that its rule needs, one set for each parameter, allocated at the
/// parameter's first step. A parameter without a gradient is left as it is.
/// </summary>
public abstract class Optimizer : IDisposable
{
    private readonly Tensor?[][] _state;

    /// <param name="parameters">What it changes, all on one device.</param>
    /// <param name="stateNames">Names of the state tensors that each parameter may have.</param>
    protected Optimizer(IEnumerable<Parameter> parameters, params IReadOnlyList<string> stateNames)
    {
        ArgumentNullException.ThrowIfNull(parameters);
        Parameters = [.. parameters];
        StateNames = stateNames;
        _state = [.. Parameters.Select(_ => new Tensor?[stateNames.Count])];
    }

    /// <summary>What it changes.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Steps taken. Part of what a checkpoint saves.</summary>
    public long StepCount { get; set; }

    private IReadOnlyList<string> StateNames { get; }

    /// <summary>Changes every parameter that has a gradient in the store. Enqueues and returns.</summary>
    public void Step(ExecutionStream stream, GradientStore gradients, float learningRate)
    {
        ArgumentNullException.ThrowIfNull(gradients);
        using ActivityScope measured = MeasuredActivity.Optimizer.Begin();
        StepCount++;
        for (int i = 0; i < Parameters.Count; i++)
        {
            Parameter parameter = Parameters[i];
            if (!parameter.RequiresGradient || gradients.Of(parameter) is not { } gradient) continue;
            Update(stream, parameter.Value, gradient, _state[i], learningRate);
            parameter.MarkChanged();
        }
    }

    /// <summary>The state tensors by name, as <c>fc1.weight.momentum</c>; owned by the optimizer. Without those not yet needed.</summary>
    public IReadOnlyDictionary<string, Tensor> SaveState()
    {
        OrderedDictionary<string, Tensor> state = [];
        for (int i = 0; i < Parameters.Count; i++)
        {
            for (int k = 0; k < StateNames.Count; k++)
                if (_state[i][k] is { } tensor) state.Add(NameOf(i, k), tensor);
        }
        return state;
    }

    /// <summary>Copies saved state tensors in, from any device; set <see cref="StepCount"/> too. Parameters without saved state lose theirs.</summary>
    /// <exception cref="StateMismatchException">A name is unexpected or a shape differs; then nothing was changed.</exception>
    public void LoadState(ExecutionStream stream, IReadOnlyDictionary<string, Tensor> state)
    {
        ArgumentNullException.ThrowIfNull(stream);
        ArgumentNullException.ThrowIfNull(state);
        Dictionary<string, (int Parameter, int Slot)> places = [];
        for (int i = 0; i < Parameters.Count; i++)
            for (int k = 0; k < StateNames.Count; k++) places.Add(NameOf(i, k), (i, k));
        string[] unexpected = [.. state.Keys.Where(name => !places.ContainsKey(name))];
        string[] mismatched = [.. state.Where(entry => places.TryGetValue(entry.Key, out (int Parameter, int) place) && Parameters[place.Parameter].Shape != entry.Value.Shape)
            .Select(entry => $"{entry.Key} is {entry.Value.Shape}, expected {Parameters[places[entry.Key].Parameter].Shape}")];
        if (unexpected.Length + mismatched.Length > 0) throw new StateMismatchException([], unexpected, mismatched);
        Dispose();
        foreach ((string name, Tensor source) in state)
        {
            (int parameter, int slot) = places[name];
            Tensor tensor = _state[parameter][slot] = Tensor.Allocate(stream, source.Shape);
            StateLoader.Copy(stream, source, tensor);
        }
    }

    /// <summary>Frees the state tensors; the next step starts anew.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        foreach (Tensor?[] tensors in _state)
        {
            foreach (Tensor? tensor in tensors) tensor?.Dispose();
            Array.Clear(tensors);
        }
    }

    /// <summary>Changes one parameter. Entries of <paramref name="state"/> are null until the rule puts tensors there, which the optimizer then owns.</summary>
    protected abstract void Update(ExecutionStream stream, Tensor parameter, Tensor gradient, Tensor?[] state, float learningRate);

    private string NameOf(int parameter, int slot) => $"{Parameters[parameter].Name}.{StateNames[slot]}";
}
