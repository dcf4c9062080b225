using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public abstract partial class FunctionGradientTests
{
    [Theory]
    [InlineData(1f)]
    [InlineData(2.5f)]
    public void Softmax_and_its_logarithm(float temperature)
    {
        Shape shape = new(3, 5);
        Check.Run([shape], [], (x, _) => SoftmaxFunction.Apply(x[0], temperature), x => [.. x[0].Chunk(5).SelectMany(row => Formulas.Softmax(row, temperature))]);
        Check.Run([shape], [], (x, _) => SoftmaxFunction.ApplyLog(x[0], temperature), x => [.. x[0].Chunk(5).SelectMany(row => Formulas.LogSoftmax(row, temperature))]);
    }

    [Fact]
    public void Cross_entropy_with_smoothing_and_ignored_rows()
    {
        Tensor labels = Make(new Shape(4), 2, -100, 0, 4);
        Check.Run([new Shape(4, 5)], [], (x, _) => CrossEntropyFunction.Apply(x[0], labels, new CrossEntropyOptions(LabelSmoothing: 0.2f)), x =>
        {
            double[][] rows = [.. x[0].Chunk(5).Select(row => Formulas.LogSoftmax(row))];
            (int Row, int Label)[] counted = [(0, 2), (2, 0), (3, 4)];
            return [counted.Average(c => (-0.8 * rows[c.Row][c.Label]) - (0.2 * rows[c.Row].Average()))];
        });
    }

    [Fact]
    public void Cross_entropy_with_soft_targets()
    {
        double[] targets = [.. Numbers.Uniform(new Shape(3, 4), 5).Chunk(4).SelectMany(row => Formulas.Softmax([.. row.Select(v => (double)v)])).Select(v => (double)(float)v)];
        Tensor tensor = Make(new Shape(3, 4), targets.Select(v => (float)v).ToArray());
        Check.Run([new Shape(3, 4)], [], (x, _) => Losses.SoftCrossEntropy(x[0], tensor), x =>
            [x[0].Chunk(4).SelectMany(row => Formulas.LogSoftmax(row)).Select((v, i) => -v * targets[i]).Sum() / 3]);
    }

    [Fact]
    public void Divergence_from_a_teacher()
    {
        Tensor teacher = Random(new Shape(3, 4), 5, scale: 2);
        double[] logits = [.. Read(teacher).Select(v => (double)v)];
        Check.Run([new Shape(3, 4)], [], (x, _) => Losses.KlDivergence(x[0], teacher, 2), x => [Divergence(x[0], logits, 4, 2)]);
    }

    [Fact]
    public void Distillation_of_labels_and_a_teacher()
    {
        Tensor teacher = Random(new Shape(3, 4), 5, scale: 2), labels = Make(new Shape(3), 1, 3, 0);
        double[] logits = [.. Read(teacher).Select(v => (double)v)];
        int[] classes = [1, 3, 0];
        Check.Run([new Shape(3, 4)], [], (x, _) => Losses.Distillation(x[0], teacher, labels, new DistillationOptions(0.7f, 3)).Total, x =>
            [(0.3 * x[0].Chunk(4).Select((row, i) => -Formulas.LogSoftmax(row)[classes[i]]).Average()) + (0.7f * 9 * Divergence(x[0], logits, 4, 3))]);
    }

    [Fact]
    public void Mean_squared_error()
    {
        Tensor target = Random(new Shape(3, 4), 5);
        double[] wanted = [.. Read(target).Select(v => (double)v)];
        Check.Run([new Shape(3, 4)], [], (x, _) => Losses.MeanSquaredError(x[0], target), x => [x[0].Select((v, i) => (v - wanted[i]) * (v - wanted[i])).Average()]);
    }

    [Fact]
    public void Batch_norm_of_rows_and_of_images()
    {
        GradientCheck check = new(Stream) { Tolerance = 5e-5f };
        check.Run(new Shape(6, 3), new BatchNormModule(3), x => Formulas.BatchNorm(x[0], x[1], x[2], 6, 3, 1));
        check.Run(new Shape(3, 2, 2, 3), new BatchNormModule(2), x => Formulas.BatchNorm(x[0], x[1], x[2], 3, 2, 6));
    }

    [Fact]
    public void Embeddings_add_the_gradients_of_repeated_indices()
    {
        int[] indices = [3, 0, 3, 1, 3, 0];
        Tensor tensor = Make(new Shape(2, 3), indices);
        Check.Run([new Shape(6)], [new Shape(5, 4)],
            (x, p) => AddFunction.Apply(ReshapeFunction.Apply(EmbeddingFunction.Apply(x[0].Tape.Input(tensor), p[0]), new Shape(4, 6)), x[0]),
            x => [.. indices.SelectMany(index => x[1][(index * 4)..((index + 1) * 4)]).Select((v, i) => v + x[0][i % 6])]);
    }

    [Fact]
    public void Dropout_keeps_its_mask_in_the_backward_pass()
    {
        RandomKey key = new(5, 6, RandomPath.Of("drop"), 7);
        Tensor ones = Make(new Shape(4, 8), Enumerable.Repeat(1f, 32).ToArray()), mask = Output(new Shape(4, 8));
        Dropout.Forward(Stream, mask, ones, 0.4f, key);
        float[] factors = Read(mask);
        Assert.InRange(factors.Count(factor => factor == 0), 4, 24);
        Check.Run([new Shape(4, 8)], [], (x, _) => DropoutFunction.Apply(x[0], 0.4f, RandomPath.Of("drop")), x => [.. x[0].Select((v, i) => v * factors[i])]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Attention_of_queries_to_keys(bool isCausal)
    {
        Tensor lengths = Make(new Shape(2), 5, 4);
        Shape keys = new(2, 5, 2, 4);
        Check.Run([new Shape(2, 3, 2, 4), keys, keys], [],
            (x, _) => AttentionFunction.Apply(x[0], x[1], x[2], x[0].Tape.Input(lengths), new AttentionOptions(isCausal)),
            x => Formulas.Attention(x[0], x[1], x[2], (2, 3, 5, 2, 4), isCausal, [5, 4]));
    }

    [Fact]
    public void Attention_of_a_variable_to_itself() =>
        Check.Run([new Shape(1, 4, 1, 4)], [], (x, _) => AttentionFunction.Apply(x[0], x[0], x[0]), x => Formulas.Attention(x[0], x[0], x[0], (1, 4, 4, 1, 4)));

    [Fact]
    public void Multi_head_attention() =>
        Check.Run(new Shape(2, 3, 8), new MultiHeadAttention(8, 2, isCausal: true), x => Formulas.MultiHead(x[0], x.AsSpan(1), 2, 3, 8, 2, isCausal: true));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Transformer_encoder_layers(bool normFirst)
    {
        TransformerEncoderLayer layer = new(8, 2, hiddenWidth: 6, dropout: 0, Activation.Gelu, normFirst);
        // Parameters in order: self_attn (4), linear1 (2), linear2 (2), norm1 (2), norm2 (2).
        new GradientCheck(Stream) { Tolerance = 1e-4f }.Run(new Shape(2, 3, 8), layer, x => normFirst ? Formulas.Sum(Attended(x), Feed(x, Norm(x, Attended(x), 11))) : PostNorm(x));

        static double[] Norm(double[][] x, double[] value, int first) => Formulas.LayerNorm(value, x[first], x[first + 1], 6, 8);
        static double[] Attended(double[][] x) => Formulas.Sum(x[0], Formulas.MultiHead(Norm(x, x[0], 9), x.AsSpan(1), 2, 3, 8, 2));
        static double[] Feed(double[][] x, double[] value) =>
            Formulas.Linear([.. Formulas.Linear(value, x[5], x[6], 6, 8, 6).Select(v => Formulas.Apply(Activation.Gelu, v))], x[7], x[8], 6, 6, 8);
        static double[] PostNorm(double[][] x)
        {
            double[] first = Norm(x, Formulas.Sum(x[0], Formulas.MultiHead(x[0], x.AsSpan(1), 2, 3, 8, 2)), 9);
            return Norm(x, Formulas.Sum(first, Feed(x, first)), 11);
        }
    }

    private static double Divergence(double[] student, double[] teacher, int classes, double temperature) =>
        student.Chunk(classes).Zip(teacher.Chunk(classes), (s, t) =>
            Formulas.Softmax(t, temperature).Zip(Formulas.LogSoftmax(s, temperature), (p, logQ) => p * (Math.Log(p) - logQ)).Sum()).Average();
}
