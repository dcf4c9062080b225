namespace DistTrain.Bench;

/// <summary>A layer with weights.</summary>
/// <param name="Name">As its paper calls it.</param>
/// <param name="Parameters">Weights and biases.</param>
/// <param name="MultiplyAdds">Of one sample's forward pass.</param>
public sealed record ReferenceLayer(string Name, long Parameters, long MultiplyAdds)
{
    /// <summary>A convolution with a square kernel and output.</summary>
    public static ReferenceLayer Convolution(string name, int inputs, int outputs, int kernel, int side, int groups = 1)
    {
        long weights = (long)outputs * (inputs / groups) * kernel * kernel;
        return new(name, weights + outputs, weights * side * side);
    }

    /// <summary>A fully connected layer.</summary>
    public static ReferenceLayer Linear(string name, int inputs, int outputs) => new(name, ((long)inputs * outputs) + outputs, (long)inputs * outputs);
}

/// <summary>The networks that communication of gradients is usually discussed with, by their papers' tables: layers in the order of the forward pass.</summary>
/// <param name="Name">As in rows.</param>
/// <param name="Layers">Those with weights.</param>
public sealed record ReferenceNetwork(string Name, IReadOnlyList<ReferenceLayer> Layers)
{
    /// <summary>61.0 M parameters, 94 % of them in the last three layers (A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012, figure 2).</summary>
    public static ReferenceNetwork AlexNet { get; } = new("AlexNet",
    [
        ReferenceLayer.Convolution("conv1", 3, 96, 11, 55), ReferenceLayer.Convolution("conv2", 96, 256, 5, 27, groups: 2), ReferenceLayer.Convolution("conv3", 256, 384, 3, 13),
        ReferenceLayer.Convolution("conv4", 384, 384, 3, 13, groups: 2), ReferenceLayer.Convolution("conv5", 384, 256, 3, 13, groups: 2),
        ReferenceLayer.Linear("fc6", 9216, 4096), ReferenceLayer.Linear("fc7", 4096, 4096), ReferenceLayer.Linear("fc8", 4096, 1000),
    ]);

    /// <summary>138.4 M parameters, 15.5 billion multiplications a sample (K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2015, table 1, D).</summary>
    public static ReferenceNetwork Vgg16 { get; } = new("VGG-16",
    [
        .. (((int Inputs, int Outputs, int Side)[])
        [
            (3, 64, 224), (64, 64, 224), (64, 128, 112), (128, 128, 112), (128, 256, 56), (256, 256, 56), (256, 256, 56),
            (256, 512, 28), (512, 512, 28), (512, 512, 28), (512, 512, 14), (512, 512, 14), (512, 512, 14),
        ]).Select((layer, i) => ReferenceLayer.Convolution($"conv{i + 1}", layer.Inputs, layer.Outputs, 3, layer.Side)),
        ReferenceLayer.Linear("fc14", 25088, 4096), ReferenceLayer.Linear("fc15", 4096, 4096), ReferenceLayer.Linear("fc16", 4096, 1000),
    ]);

    /// <summary>Both.</summary>
    public static IReadOnlyList<ReferenceNetwork> All { get; } = [AlexNet, Vgg16];

    /// <summary>Weights and biases in all.</summary>
    public long Parameters => Layers.Sum(layer => layer.Parameters);

    /// <summary>Of one sample's forward pass.</summary>
    public long MultiplyAdds => Layers.Sum(layer => layer.MultiplyAdds);
}
