using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// A variable's value as a tape of 16-bit precision keeps it for the backward pass. A variable and its views have one memory between them, and are stored together.
/// </summary>
internal sealed class StoredValue : IDisposable
{
    /// <summary>The value, rounded; null as long as it is as it was computed.</summary>
    internal Tensor? Rounded { get; private set; }

    /// <summary>Whether it is never rounded.</summary>
    internal bool IsExact { get; set; }

    /// <summary>All variables over the same memory; null: there is one.</summary>
    internal List<Variable>? Views { get; set; }

    /// <summary>Rounds an f32 value to one that all its views can share; to be disposed.</summary>
    internal static Tensor Round(ExecutionStream stream, Tensor value, DType dtype)
    {
        Tensor rounded = Tensor.Allocate(stream, value.Shape, dtype);
        Cast.Convert(stream, rounded, value);
        return rounded;
    }

    /// <summary>Keeps the rounded elements under the variable's shape.</summary>
    internal void Keep(Tensor rounded, Shape shape) => Rounded = rounded.Reshape(shape);

    /// <summary>The value in f32 again.</summary>
    internal Tensor Widen(ExecutionStream stream)
    {
        Tensor value = Tensor.Allocate(stream, Rounded!.Shape);
        Cast.Convert(stream, value, Rounded);
        return value;
    }

    public void Dispose()
    {
        Rounded?.Dispose();
        Rounded = null;
    }
}
