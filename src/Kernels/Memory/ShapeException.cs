namespace DistTrain.Kernels;

/// <summary>Operands do not fit an operation or each other. The message names the operation, the shapes found and the rule.</summary>
public sealed class ShapeException(string message) : ArgumentException(message);
