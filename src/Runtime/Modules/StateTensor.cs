using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A tensor that a module updates by itself, without gradients: running statistics. Saved with the parameters.</summary>
public sealed class StateTensor
{
    private readonly Module _owner;
    private readonly string _localName;
    private Tensor? _value;

    internal StateTensor(Module owner, string localName, Shape shape, float initialValue)
    {
        _owner = owner;
        _localName = localName;
        Shape = shape;
        InitialValue = initialValue;
    }

    /// <summary>The dotted path from the root module, as <c>bn1.running_mean</c>.</summary>
    public string Name => _owner.PathOf(_localName);

    /// <summary>The extents.</summary>
    public Shape Shape { get; }

    /// <summary>What every element is at first.</summary>
    public float InitialValue { get; }

    /// <summary>The value, owned by the module.</summary>
    /// <exception cref="InvalidOperationException">The module was not initialised.</exception>
    public Tensor Value => _value ?? throw new InvalidOperationException($"state '{Name}' has no value yet; call Initialize on the root module first");

    /// <inheritdoc/>
    public override string ToString() => $"{Name} {Shape}";

    internal void Initialize(ExecutionStream stream)
    {
        Free();
        float[] elements = new float[Shape.ElementCount];
        Array.Fill(elements, InitialValue);
        _value = Tensor.From(stream, elements, Shape);
    }

    internal void Free()
    {
        _value?.Dispose();
        _value = null;
    }
}
