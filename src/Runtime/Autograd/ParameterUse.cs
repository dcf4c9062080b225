using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The value that a parameter had when a function used it. Replacing <see cref="Parameter.Value"/> by another tensor leaves it valid; changing it in place does not.</summary>
public readonly struct ParameterUse
{
    private readonly Tensor? _value;

    internal ParameterUse(Parameter parameter)
    {
        Parameter = parameter;
        _value = parameter.Source is null ? parameter.Value : null;
        Version = parameter.Version;
    }

    /// <summary>The parameter.</summary>
    public Parameter Parameter { get; }

    /// <summary>Its value in the forward pass; of one whose values are not kept, fetched again.</summary>
    public Tensor Value => _value ?? Parameter.Value;

    /// <summary>The value's version then.</summary>
    internal long Version { get; }

    internal void Check(Function function)
    {
        if (Parameter.Version != Version && (_value is null || ReferenceEquals(Parameter.Value, _value)))
            throw new StaleParameterException(Parameter.Name, function.GetType().Name, Version, Parameter.Version);
    }
}
