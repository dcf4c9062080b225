using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// A tensor that training changes: f32, in PyTorch's layout ([out, in] for linear weights, OIHW for convolutions). Belongs to a module,
/// has no memory before <see cref="Module.Initialize"/> and holds no gradient: those live in a <see cref="GradientStore"/>.
/// </summary>
public sealed class Parameter
{
    private readonly Module _owner;
    private readonly string _localName;
    private Tensor? _value;

    internal Parameter(Module owner, string localName, Shape shape, Initializer initializer)
    {
        _owner = owner;
        _localName = localName;
        Shape = shape;
        Initializer = initializer;
    }

    /// <summary>The dotted path from the root module, as <c>layer1.0.conv1.weight</c>.</summary>
    public string Name => _owner.PathOf(_localName);

    /// <summary>The extents.</summary>
    public Shape Shape { get; }

    /// <summary>How the first value is drawn.</summary>
    public Initializer Initializer { get; }

    /// <summary>False leaves the parameter out of the backward pass and of gradient stores made afterwards.</summary>
    public bool RequiresGradient { get; set; } = true;

    /// <summary>How often the value was changed in place. Whoever writes to <see cref="Value"/> calls <see cref="MarkChanged"/>.</summary>
    public long Version { get; private set; }

    /// <summary>The value, owned by the module. Setting it hands another tensor over; the old one is not disposed, passes under way may still use it.</summary>
    /// <exception cref="InvalidOperationException">The module was not initialised.</exception>
    public Tensor Value
    {
        get => _value ?? Source?.ValueOf(this) ?? throw new InvalidOperationException($"parameter '{Name}' has no value; call Initialize on the root module first. Sharded variables take the values with them when they are disposed");
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            if (Source is not null) throw new InvalidOperationException($"parameter '{Name}' is divided among replicas: write into its value while ReplicaVariables.Gather holds it");
            if (value.Shape != Shape || value.DType != DType.F32)
                throw new ShapeException($"parameter '{Name}': the value is {value.DType} {value.Shape}, expected {DType.F32} {Shape}");
            _value = value;
        }
    }

    /// <summary>The strategy's variables that it belongs to; null: none.</summary>
    internal ReplicaVariables? Owner { get; set; }

    /// <summary>Gives values that are not kept; null: the value is here.</summary>
    internal IParameterSource? Source { get; set; }

    internal bool HasValue => _value is not null;

    /// <summary>Tells that the value was written to, so that backward passes over its old contents fail instead of giving wrong gradients.</summary>
    public void MarkChanged() => Version++;

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Shape}";

    /// <summary>The same parameter with a value of its own on another device; whoever asked for it frees it.</summary>
    internal Parameter CopyTo(ExecutionStream from, ExecutionStream to)
    {
        Parameter copy = new(_owner, _localName, Shape, Initializer) { RequiresGradient = RequiresGradient };
        copy.Value = Tensor.Allocate(to, Shape);
        StateLoader.Copy(from, Value, copy.Value);
        return copy;
    }

    /// <summary>A parameter of the same name for a part of the value, which stays the caller's.</summary>
    internal Parameter Part(Tensor part) => new(_owner, _localName, part.Shape, Initializer) { Value = part };

    /// <summary>Whether two parameters are of one module.</summary>
    internal bool IsBeside(Parameter other) => _owner == other._owner;

    internal void Free()
    {
        _value?.Dispose();
        _value = null;
    }
}
