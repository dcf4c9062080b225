using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>The value that a parameter had when a function used it. Replacing <see cref="Parameter.Value"/> by another tensor leaves it valid; changing it in place does not.</summary>
public readonly struct ParameterUse
{
    internal ParameterUse(Parameter parameter)
    {
        Parameter = parameter;
        Value = parameter.Value;
        Version = parameter.Version;
    }

    /// <summary>The parameter.</summary>
    public Parameter Parameter { get; }

    /// <summary>Its value in the forward pass.</summary>
    public Tensor Value { get; }

    /// <summary>The value's version then.</summary>
    internal long Version { get; }

    internal void Check(Function function)
    {
        if (ReferenceEquals(Parameter.Value, Value) && Parameter.Version != Version)
            throw new StaleParameterException(Parameter.Name, function.GetType().Name, Version, Parameter.Version);
    }
}
