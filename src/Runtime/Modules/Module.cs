using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// A part of a network: named parameters, named state, named child modules and a forward pass. Constructing one describes it and takes
/// no memory; <see cref="Initialize"/> on the root allocates and fills all parameters on a device. Names are PyTorch's, so that weights
/// can be exchanged. Modules keep nothing between passes: mode, randomness and memory of a pass are the tape's.
/// </summary>
public abstract class Module : IDisposable
{
    private readonly List<(string Name, Module Module)> _children = [];
    private readonly List<Parameter> _parameters = [];
    private readonly List<StateTensor> _state = [];
    private Module? _parent;
    private string _name = "";
    private uint? _randomPath;

    /// <summary>The dotted path from the root module; empty for the root.</summary>
    public string Path => _parent is null ? "" : _parent.PathOf(_name);

    /// <summary>The child modules by name, in the order they were registered.</summary>
    public IReadOnlyList<(string Name, Module Module)> Children => _children;

    /// <summary>The path as a key of random streams: stable between runs and machines.</summary>
    protected uint RandomPath => _randomPath ??= Runtime.RandomPath.Of(Path);

    /// <summary>Computes the output on the input's tape, which owns it and all between.</summary>
    public abstract Variable Forward(Variable input);

    /// <summary>All parameters, this module's own first, then its children's, in the order of registration.</summary>
    public IReadOnlyList<Parameter> Parameters()
    {
        List<Parameter> parameters = [];
        Visit(module => parameters.AddRange(module._parameters));
        return parameters;
    }

    /// <summary>All state tensors in the order of registration.</summary>
    public IReadOnlyList<StateTensor> StateTensors()
    {
        List<StateTensor> state = [];
        Visit(module => state.AddRange(module._state));
        return state;
    }

    /// <summary>Parameters in all: the number of trainable elements.</summary>
    public long ParameterCount => Parameters().Sum(parameter => parameter.Shape.ElementCount);

    /// <summary>
    /// Allocates parameters and state on the stream's device and fills them. The values are drawn on the host, keyed by the seed and each
    /// parameter's name: they are the same on every device. Old values are freed.
    /// </summary>
    public void Initialize(ExecutionStream stream, ulong seed)
    {
        ArgumentNullException.ThrowIfNull(stream);
        foreach (Parameter parameter in Parameters())
        {
            parameter.Free();
            parameter.Value = parameter.Initializer.Create(stream, parameter.Shape, seed, parameter.Name);
            parameter.MarkChanged();
        }
        foreach (StateTensor state in StateTensors()) state.Initialize(stream);
    }

    /// <summary>All parameters and state by name: the tensors themselves, owned by the modules.</summary>
    public IReadOnlyDictionary<string, Tensor> SaveState()
    {
        OrderedDictionary<string, Tensor> state = [];
        Visit(module =>
        {
            foreach (Parameter parameter in module._parameters) state.Add(parameter.Name, parameter.Value);
            foreach (StateTensor tensor in module._state) state.Add(tensor.Name, tensor.Value);
        });
        return state;
    }

    /// <summary>Copies values by name, from any device, into parameters and state. PyTorch's <c>num_batches_tracked</c> is ignored.</summary>
    /// <exception cref="StateMismatchException">Names are missing or unexpected, or shapes differ; then nothing was copied.</exception>
    public void LoadState(ExecutionStream stream, IReadOnlyDictionary<string, Tensor> state)
    {
        StateLoader.Load(stream, SaveState(), state);
        foreach (Parameter parameter in Parameters()) parameter.MarkChanged();
    }

    /// <summary>Frees the parameters and state of this module and its children.</summary>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        Visit(module =>
        {
            module._parameters.ForEach(parameter => parameter.Free());
            module._state.ForEach(state => state.Free());
        });
    }

    /// <summary>Registers a child under a name without dots. It becomes part of this module and can't be part of another.</summary>
    protected T Register<T>(string name, T child) where T : Module
    {
        ArgumentNullException.ThrowIfNull(child);
        CheckName(name);
        if (child._parent is not null) throw new ArgumentException($"the module for '{name}' is '{child.Path}' of another module already; every module has one place");
        (child._parent, child._name) = (this, name);
        child.Visit(module => module._randomPath = null);
        _children.Add((name, child));
        return child;
    }

    /// <summary>Registers a parameter.</summary>
    protected Parameter Register(string name, Shape shape, Initializer initializer)
    {
        CheckName(name);
        Parameter parameter = new(this, name, shape, initializer);
        _parameters.Add(parameter);
        return parameter;
    }

    /// <summary>Registers a state tensor whose elements are all <paramref name="initialValue"/> at first.</summary>
    protected StateTensor RegisterState(string name, Shape shape, float initialValue)
    {
        CheckName(name);
        StateTensor state = new(this, name, shape, initialValue);
        _state.Add(state);
        return state;
    }

    internal string PathOf(string name) => Path is { Length: > 0 } path ? $"{path}.{name}" : name;

    private void Visit(Action<Module> visit)
    {
        visit(this);
        foreach ((_, Module child) in _children) child.Visit(visit);
    }

    private void CheckName(string name)
    {
        if (string.IsNullOrEmpty(name) || name.Contains('.', StringComparison.Ordinal))
            throw new ArgumentException($"'{name}' is no name for a part of a module; names are not empty and have no dots", nameof(name));
        if (_children.Exists(child => child.Name == name) || _parameters.Exists(parameter => parameter.Name == PathOf(name)) || _state.Exists(state => state.Name == PathOf(name)))
            throw new ArgumentException($"the module has a part named '{name}' already", nameof(name));
    }
}
