using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>Scaled dot-product attention of several heads, tiled so that no matrix of all scores is made (Dao 2023, arXiv 2307.08691).</summary>
public sealed class AttentionFunction : Function
{
    private readonly AttentionOptions _options;
    private readonly Variable _query, _key, _value, _output, _logSumExp;
    private readonly Variable? _keyLengths;

    private AttentionFunction(Variable query, Variable key, Variable value, Variable output, Variable logSumExp, Variable? keyLengths, in AttentionOptions options)
    {
        _options = options;
        (_query, _key, _value, _output) = (Save(query), Save(key), Save(value), Save(output));
        _logSumExp = SaveAlone(logSumExp);
        _keyLengths = keyLengths is null ? null : Save(keyLengths);
    }

    /// <summary>softmax(scale · query · keyᵀ) · value for each sample and head.</summary>
    /// <param name="query">[B, T, H, D].</param>
    /// <param name="key">[B, S, H, D].</param>
    /// <param name="value">[B, S, H, D].</param>
    /// <param name="keyLengths">i32 [B]: keys that exist in each sample; all if null.</param>
    /// <param name="options">Causal mask and scale.</param>
    public static Variable Apply(Variable query, Variable key, Variable value, Variable? keyLengths = null, in AttentionOptions options = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        ArgumentNullException.ThrowIfNull(key);
        ArgumentNullException.ThrowIfNull(value);
        if (query.Shape.DimensionCount != 4) throw new ShapeException($"attention: query {query.Shape} must be [batch, queries, heads, head size]");
        GradientTape tape = query.Tape;
        Variable output = tape.Allocate(query.Shape), logSumExp = tape.Allocate(new Shape(query.Shape[0], query.Shape[2], query.Shape[1]));
        Attention.Forward(tape.Stream, output.Value, logSumExp.Value, query.Value, key.Value, value.Value, keyLengths?.Value, options);
        if (tape.Records(query) || tape.Records(key) || tape.Records(value))
            return tape.Record(output, new AttentionFunction(query, key, value, output, logSumExp, keyLengths, options));
        logSumExp.Release();
        return output;
    }

    /// <inheritdoc/>
    protected internal override void BackwardInput()
    {
        // The kernel gives all three gradients at once; the operands may be one and the same variable.
        GradientTape tape = Output.Tape;
        Variable query = tape.Allocate(_query.Shape), key = tape.Allocate(_key.Shape), value = tape.Allocate(_value.Shape);
        Attention.Backward(Stream, query.Value, key.Value, value.Value, OutputGradient, _output.Value, _logSumExp.Value,
            _query.Value, _key.Value, _value.Value, _keyLengths?.Value, _options);
        Give(_query, query);
        Give(_key, key);
        Give(_value, value);
    }
}
