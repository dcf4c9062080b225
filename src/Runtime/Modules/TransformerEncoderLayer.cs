using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Self-attention and a feed-forward network, each with a residual connection, layer norm and dropout (Vaswani et al. 2017, arXiv 1706.03762, section
/// 3.1), over [batch, positions, width]. Children named as in PyTorch's TransformerEncoderLayer: <c>self_attn</c>, <c>linear1</c>, <c>linear2</c>,
/// <c>norm1</c>, <c>norm2</c>.
/// </summary>
public sealed class TransformerEncoderLayer : Module
{
    private readonly bool _normFirst;
    private readonly MultiHeadAttention _attention;
    private readonly Linear _linear1, _linear2;
    private readonly LayerNormModule _norm1, _norm2;
    private readonly DropoutModule _dropout, _dropout1, _dropout2;

    /// <param name="width">Features of a position.</param>
    /// <param name="headCount">Divides the width.</param>
    /// <param name="hiddenWidth">Of the feed-forward network.</param>
    /// <param name="dropout">Probability, after attention, after the activation and after the feed-forward network.</param>
    /// <param name="activation">Of the feed-forward network.</param>
    /// <param name="normFirst">True normalises before each part (pre-norm), false after each sum.</param>
    /// <param name="isCausal">True if a position sees itself and earlier ones only.</param>
    public TransformerEncoderLayer(
        int width, int headCount, int hiddenWidth = 2048, float dropout = 0.1f, Activation activation = Activation.Relu, bool normFirst = false, bool isCausal = false)
    {
        _normFirst = normFirst;
        _attention = Register("self_attn", new MultiHeadAttention(width, headCount, isCausal));
        _linear1 = Register("linear1", new Linear(width, hiddenWidth, activation));
        _dropout = Register("dropout", new DropoutModule(dropout));
        _linear2 = Register("linear2", new Linear(hiddenWidth, width));
        _norm1 = Register("norm1", new LayerNormModule(width));
        _norm2 = Register("norm2", new LayerNormModule(width));
        _dropout1 = Register("dropout1", new DropoutModule(dropout));
        _dropout2 = Register("dropout2", new DropoutModule(dropout));
    }

    /// <inheritdoc/>
    public override Variable Forward(Variable input)
    {
        if (_normFirst)
        {
            Variable attended = Add(input, input, Attend(Then(_norm1, input, isKept: true), isKept: false));
            return Add(attended, null, Feed(Then(_norm2, attended, isKept: true), isKept: false));
        }
        Variable first = Then(_norm1, Add(input, input, Attend(input, isKept: true)));
        return Then(_norm2, Add(first, null, Feed(first, isKept: true)));
    }

    private Variable Attend(Variable input, bool isKept) => Then(_dropout1, Then(_attention, input, isKept));

    private Variable Feed(Variable input, bool isKept) => Then(_dropout2, Then(_linear2, Then(_dropout, Then(_linear1, input, isKept))));

    /// <summary>Applies a module and lets go of its input, unless it is still needed.</summary>
    private static Variable Then(Module module, Variable input, bool isKept = false)
    {
        Variable output = module.Forward(input);
        if (!isKept && output != input) input.Release();
        return output;
    }

    /// <summary>The sum; lets go of both operands, but not of the caller's.</summary>
    private static Variable Add(Variable left, Variable? callers, Variable right)
    {
        Variable sum = AddFunction.Apply(left, right);
        if (left != callers) left.Release();
        right.Release();
        return sum;
    }
}
