using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// A multilayer perceptron: flatten, then linear layers <c>fc1</c>, <c>fc2</c>, ... with ReLU between them.
/// </summary>
public sealed class Mlp : Module
{
    private readonly Linear[] _layers;

    /// <param name="sizes">Features: input, hidden layers, output.</param>
    public Mlp(params ReadOnlySpan<int> sizes)
    {
        if (sizes.Length < 2) throw new ArgumentException($"an MLP needs an input and an output size, found {sizes.Length} sizes", nameof(sizes));
        _layers = new Linear[sizes.Length - 1];
        for (int i = 0; i < _layers.Length; i++)
        {
            Activation activation = i < _layers.Length - 1 ? Activation.Relu : Activation.None;
            _layers[i] = Register($"fc{(i + 1).ToString(CultureInfo.InvariantCulture)}", new Linear(sizes[i], sizes[i + 1], activation));
        }
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        Variable current = ReshapeFunction.Flatten(input);
        foreach (Linear layer in _layers)
        {
            Variable next = layer.Forward(current);
            current.Release();
            current = next;
        }
        return current;
    }
}
