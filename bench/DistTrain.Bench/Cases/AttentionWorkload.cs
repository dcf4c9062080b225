using System.Globalization;
using DistTrain.Kernels;

namespace DistTrain.Bench;

/// <summary>
/// Scaled dot-product attention over [batch, tokens, heads, head size]. Work: two products of T·T·D operations for each head forward, five
/// backward (Dao 2023, arXiv 2307.08691, section 4.1), halved under a causal mask.
/// </summary>
public sealed class AttentionWorkload : Workload
{
    private readonly bool _isBackward;
    private readonly AttentionOptions _options;
    private readonly Tensor _query, _key, _value, _output, _logSumExp, _dQuery, _dKey, _dValue, _dOutput;

    private AttentionWorkload(ComputeDevice device, bool isBackward, int batch, int tokens, int heads, int headSize, bool isCausal)
        : base(device)
    {
        Shape shape = new(batch, tokens, heads, headSize);
        _isBackward = isBackward;
        _options = new AttentionOptions(isCausal);
        (_query, _key, _value, _dOutput) = (Random(shape), Random(shape), Random(shape), Random(shape));
        (_output, _dQuery, _dKey, _dValue) = (Zeros(shape), Zeros(shape), Zeros(shape), Zeros(shape));
        _logSumExp = Zeros(new Shape(batch, heads, tokens));
        Attention.Forward(Stream, _output, _logSumExp, _query, _key, _value, null, _options);
    }

    /// <summary>An encoder's batch of short sequences, and one long causal sequence.</summary>
    public static IEnumerable<BenchCase> Cases() =>
    [
        Case("encoder", false, 16, 128, 8, 64, false),
        Case("encoder", true, 16, 128, 8, 64, false),
        Case("decoder", false, 1, 1024, 8, 64, true),
        Case("decoder", true, 1, 1024, 8, 64, true),
    ];

    /// <inheritdoc/>
    public override void Run()
    {
        if (_isBackward) Attention.Backward(Stream, _dQuery, _dKey, _dValue, _dOutput, _output, _logSumExp, _query, _key, _value, null, _options);
        else Attention.Forward(Stream, _output, _logSumExp, _query, _key, _value, null, _options);
    }

    private static BenchCase Case(string name, bool isBackward, int batch, int tokens, int heads, int headSize, bool isCausal)
    {
        (string pass, string mask) = (isBackward ? "backward" : "forward", isCausal ? "causal" : "full");
        double work = (isBackward ? 10.0 : 4.0) * batch * heads * tokens * tokens * headSize / (isCausal ? 2 : 1);
        return new BenchCase("attention", $"{name} {batch}x{tokens}x{heads}x{headSize} {mask} {pass}", Measure.GigaflopsPerSecond, work,
            string.Create(CultureInfo.InvariantCulture, $"attention {pass} {batch} {tokens} {heads} {headSize} {mask}"),
            device => new AttentionWorkload(device, isBackward, batch, tokens, heads, headSize, isCausal), Limit.Arithmetic);
    }
}
