namespace DistTrain.Runtime;

/// <summary>A parameter's value was changed in place between the forward and the backward pass that both need it.</summary>
public sealed class StaleParameterException(string parameter, string function, long forwardVersion, long currentVersion)
    : InvalidOperationException($"backward of {function}: parameter '{parameter}' was changed since the forward pass (version {forwardVersion} then, " +
        $"{currentVersion} now); step the optimizer after Backward, or give the parameter a new tensor instead of changing it in place")
{
    /// <summary>Name of the parameter.</summary>
    public string Parameter { get; } = parameter;
}
