using System.Globalization;
using TorchSharp;
using static TorchSharp.torch;

namespace TorchSharpPeer;

/// <summary>The body of one benchmark: what is timed is <see cref="Run"/>, over tensors made once.</summary>
internal sealed class PeerCase(DisposeScope scope, Action body) : IDisposable
{
    /// <summary>Runs once and frees what it made.</summary>
    public void Run()
    {
        using DisposeScope temporaries = NewDisposeScope();
        body();
    }

    public void Dispose() => scope.Dispose();
}

/// <summary>Cases by the words that name them.</summary>
internal static class PeerCases
{
    /// <summary>The case, or null if libtorch is not asked such a thing.</summary>
    public static PeerCase? Open(string[] words)
    {
        DisposeScope scope = NewDisposeScope();
        int[] numbers = [.. words.Select(word => int.TryParse(word, CultureInfo.InvariantCulture, out int number) ? number : 0)];
        Action? body = words[0] switch
        {
            "matmul" => MatMul(numbers[1], numbers[2], numbers[3], words[4] == "t", words[5] == "t"),
            "softmax" => Softmax(numbers[1], numbers[2], Number(words[3])),
            "distillation-loss" => DistillationLoss(numbers[1], numbers[2], Number(words[3]), Number(words[4])),
            "convolution" => Convolution(words[1], numbers[2..]),
            "attention" => Attention(words[1], numbers[2], numbers[3], numbers[4], numbers[5], words[6] == "causal"),
            "train-step" => TrainStep.Open(words[1], numbers[2]),
            _ => null,
        };
        if (body is not null) return new PeerCase(scope, body);
        scope.Dispose();
        return null;
    }

    private static float Number(string word) => float.Parse(word, CultureInfo.InvariantCulture);

    private static Action MatMul(int m, int n, int k, bool transposeA, bool transposeB)
    {
        Tensor a = transposeA ? rand(k, m).t() : rand(m, k), b = transposeB ? rand(n, k).t() : rand(k, n), c = zeros(m, n);
        // beta = 0 writes the product into c: no allocation is timed.
        return () => c.addmm_(a, b, 0, 1);
    }

    private static Action Softmax(int rows, int columns, float temperature)
    {
        Tensor logits = randn(rows, columns);
        // Without a temperature of its own, softmax takes the scaled logits: what a user of libtorch writes.
        return temperature == 1f ? () => logits.softmax(-1) : () => (logits / temperature).softmax(-1);
    }

    private static Action DistillationLoss(int rows, int columns, float alpha, float temperature)
    {
        Tensor student = randn(rows, columns).requires_grad_(true), teacher = randn(rows, columns), labels = randint(columns, rows, dtype: ScalarType.Int64);
        return () =>
        {
            student.grad = null;
            Tensor hard = nn.functional.cross_entropy(student, labels);
            Tensor soft = nn.functional.kl_div(nn.functional.log_softmax(student / temperature, 1), nn.functional.log_softmax(teacher / temperature, 1),
                reduction: nn.Reduction.Sum, log_target: true) / rows;
            ((hard * (1 - alpha)) + (soft * (alpha * temperature * temperature))).backward();
        };
    }

    private static Action? Convolution(string pass, int[] s)
    {
        (int n, int c, int h, int w, int o, int kh, int kw, int stride, int padding) = (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8]);
        Tensor input = randn(n, c, h, w), weight = randn(o, c, kh, kw), bias = randn(o);
        long[] strides = [stride, stride], paddings = [padding, padding];
        if (pass == "forward") return () => nn.functional.conv2d(input, weight, bias, strides, paddings);
        Tensor[] sources = pass == "backward-input" ? [input] : [weight, bias];
        foreach (Tensor source in sources) source.requires_grad_(true);
        Tensor output = nn.functional.conv2d(input, weight, bias, strides, paddings);
        Tensor[] dOutput = [randn(output.shape)];
        return () => autograd.grad([output], sources, dOutput, retain_graph: true);
    }

    private static Action Attention(string pass, int batch, int tokens, int heads, int headSize, bool isCausal)
    {
        Tensor[] inputs = [.. Enumerable.Range(0, 3).Select(_ => randn(batch, heads, tokens, headSize))];
        if (pass == "forward") return () => nn.functional.scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], is_casual: isCausal);
        foreach (Tensor input in inputs) input.requires_grad_(true);
        Tensor output = nn.functional.scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], is_casual: isCausal);
        Tensor[] dOutput = [randn(output.shape)];
        return () => autograd.grad([output], inputs, dOutput, retain_graph: true);
    }
}
