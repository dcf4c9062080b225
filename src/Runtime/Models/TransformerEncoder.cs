using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Equal <see cref="TransformerEncoderLayer"/>s one after another, over [batch, positions, width], and a last layer norm where each layer
/// normalises first. Children <c>layers.0</c>, <c>layers.1</c>, ... and <c>norm</c>, as in PyTorch's TransformerEncoder.
/// </summary>
public sealed class TransformerEncoder : Module
{
    private readonly Sequential _layers;
    private readonly LayerNormModule? _norm;

    /// <param name="layerCount">Layers.</param>
    /// <param name="width">Features of a position.</param>
    /// <param name="headCount">Divides the width.</param>
    /// <param name="hiddenWidth">Of the feed-forward networks.</param>
    /// <param name="dropout">Probability in each layer.</param>
    /// <param name="activation">Of the feed-forward networks.</param>
    /// <param name="normFirst">True normalises before each part (pre-norm), false after each sum.</param>
    /// <param name="isCausal">True if a position sees itself and earlier ones only.</param>
    public TransformerEncoder(
        int layerCount, int width, int headCount, int hiddenWidth = 2048, float dropout = 0.1f,
        Activation activation = Activation.Relu, bool normFirst = false, bool isCausal = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(layerCount);
        _layers = Register("layers", new Sequential([.. Enumerable.Range(0, layerCount).Select(_ =>
            new TransformerEncoderLayer(width, headCount, hiddenWidth, dropout, activation, normFirst, isCausal))]));
        if (normFirst) _norm = Register("norm", new LayerNormModule(width));
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        Variable output = _layers.Forward(input);
        if (_norm is null) return output;
        Variable normalised = _norm.Forward(output);
        output.Release();
        return normalised;
    }
}
