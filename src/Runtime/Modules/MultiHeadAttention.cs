using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Self-attention of several heads over [batch, positions, width] (Vaswani et al. 2017, arXiv 1706.03762, section 3.2.2). Parameters as in PyTorch's
/// MultiheadAttention with batch_first: <c>in_proj_weight</c> [3 width, width] (query, key, value), <c>in_proj_bias</c>, <c>out_proj.weight</c>,
/// <c>out_proj.bias</c>. Without dropout of the attention weights, which the tiled kernel never forms.
/// </summary>
public sealed class MultiHeadAttention : Module
{
    private readonly int _width, _headCount;
    private readonly AttentionOptions _options;
    private readonly Parameter _projection, _projectionBias;
    private readonly Linear _output;

    /// <param name="width">Features of a position.</param>
    /// <param name="headCount">Divides the width.</param>
    /// <param name="isCausal">True if a position sees itself and earlier ones only.</param>
    public MultiHeadAttention(int width, int headCount, bool isCausal = false)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(headCount);
        if (width <= 0 || width % headCount != 0) throw new ArgumentException($"a width of {width} can't be cut into {headCount} heads", nameof(headCount));
        (_width, _headCount) = (width, headCount);
        _options = new AttentionOptions(isCausal);
        _projection = Register("in_proj_weight", new Shape(3 * width, width), Initializer.XavierUniform);
        _projectionBias = Register("in_proj_bias", new Shape(3 * width), Initializer.Zeros);
        _output = Register("out_proj", new Linear(width, width));
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input) => Forward(input, null);

    /// <summary>As above where sample b has <paramref name="lengths"/>[b] positions (i32 [batch]); the others are not attended to.</summary>
    public Variable Forward(Variable input, Variable? lengths)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (input.Shape.DimensionCount != 3) throw new ShapeException($"attention '{Path}': input {input.Shape} must be [batch, positions, {_width}]");
        Variable query = Project(input, 0), key = Project(input, 1), value = Project(input, 2);
        Variable heads = AttentionFunction.Apply(query, key, value, lengths, _options);
        query.Release();
        key.Release();
        value.Release();
        Variable joined = ReshapeFunction.Apply(heads, input.Shape);
        heads.Release();
        Variable output = _output.Forward(joined);
        joined.Release();
        return output;
    }

    private Variable Project(Variable input, int part)
    {
        Variable projected = LinearFunction.Apply(input, _projection, _projectionBias, rows: (part * _width)..((part + 1) * _width));
        Variable heads = ReshapeFunction.Apply(projected, new Shape(input.Shape[0], input.Shape[1], _headCount, _width / _headCount));
        projected.Release();
        return heads;
    }
}
