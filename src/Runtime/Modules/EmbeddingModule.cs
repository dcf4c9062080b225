using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>A table of vectors looked up by i32 indices [...]: [..., size]. Parameter <c>weight</c> [count, size], drawn from the normal distribution as PyTorch does.</summary>
public sealed class EmbeddingModule : Module
{
    /// <param name="count">Rows of the table.</param>
    /// <param name="size">Length of a vector.</param>
    /// <param name="initializer">Draws the table; standard normal if null.</param>
    public EmbeddingModule(int count, int size, Initializer? initializer = null)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(count);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        Weight = Register("weight", new Shape(count, size), initializer ?? Initializer.Normal(1));
    }

    /// <summary>[count, size].</summary>
    public Parameter Weight { get; }

    /// <inheritdoc/>
    public override Variable Forward(Variable input) => EmbeddingFunction.Apply(input, Weight);
}
