using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Models by name.</summary>
public static class ModelCatalog
{
    private const int MlpWidth = 1024;

    /// <summary>Names that <see cref="Create"/> knows.</summary>
    public static IReadOnlyList<string> Names { get; } = ["mlp"];

    /// <summary>
    /// Describes a classifier: <c>mlp</c> (two hidden layers of 1,024). Call <see cref="Module.Initialize"/> on it.
    /// </summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="inputShape">Of one sample: [channels, height, width].</param>
    /// <param name="classCount">Logits.</param>
    /// <exception cref="ArgumentException">An unknown name (with the nearest known one), or an input shape the model can't take.</exception>
    public static Module Create(string name, Shape inputShape, int classCount)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (inputShape.DimensionCount != 3) throw new ArgumentException($"a sample's shape is [channels, height, width], found {inputShape}", nameof(inputShape));
        return name switch
        {
            "mlp" => new Mlp(checked((int)inputShape.ElementCount), MlpWidth, MlpWidth, classCount),
            _ => throw new ArgumentException($"unknown model '{name}'; models are {string.Join(", ", Names)}.{NearestName.Hint(name, Names)}", nameof(name)),
        };
    }
}
