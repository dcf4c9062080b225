using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Models by name.</summary>
public static class ModelCatalog
{
    private const int MlpWidth = 1024;
    private const string ResNetPrefix = "resnet";

    /// <summary>Names that <see cref="Create"/> knows; <c>resnet</c> takes any depth of 6n + 2.</summary>
    public static IReadOnlyList<string> Names { get; } = ["convnet", "mlp", "resnet8", "resnet20", "resnet32", "resnet44", "resnet56"];

    /// <summary>
    /// Describes a classifier: <c>convnet</c>, <c>mlp</c> (two hidden layers of 1,024) or <c>resnetN</c>. It has no memory yet: call
    /// <see cref="Module.Initialize"/>.
    /// </summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="inputShape">Of one sample: [channels, height, width].</param>
    /// <param name="classCount">Logits.</param>
    /// <exception cref="ArgumentException">An unknown name (with the nearest known one), or an input shape or depth that the model can't have.</exception>
    public static Module Create(string name, Shape inputShape, int classCount)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (inputShape.DimensionCount != 3) throw new ArgumentException($"a sample's shape is [channels, height, width], found {inputShape}", nameof(inputShape));
        return name switch
        {
            "mlp" => new Mlp(checked((int)inputShape.ElementCount), MlpWidth, MlpWidth, classCount),
            "convnet" => new ConvNet(inputShape[0], inputShape[1], inputShape[2], classCount),
            _ when TryParseDepth(name, out int depth) => new ResNet(depth, inputShape[0], classCount),
            _ => throw new ArgumentException($"unknown model '{name}'; models are {string.Join(", ", Names)}.{NearestName.Hint(name, Names)}", nameof(name)),
        };
    }

    private static bool TryParseDepth(string name, out int depth)
    {
        depth = 0;
        return name.StartsWith(ResNetPrefix, StringComparison.Ordinal)
            && int.TryParse(name.AsSpan(ResNetPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out depth);
    }
}
