using DistTrain.Kernels;

namespace DistTrain.Runtime.Tests;

/// <summary>The mathematics of the functions, written plainly in double precision.</summary>
internal static class Formulas
{
    public static double Apply(Activation activation, double x) => activation switch
    {
        Activation.None => x,
        Activation.Relu => Math.Max(0, x),
        Activation.Gelu => 0.5 * x * (1 + Erf(x / Math.Sqrt(2))),
        Activation.GeluTanh => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + (0.044715 * x * x * x)))),
        Activation.Silu => x / (1 + Math.Exp(-x)),
        Activation.Tanh => Math.Tanh(x),
        Activation.Sigmoid => 1 / (1 + Math.Exp(-x)),
        _ => throw new ArgumentOutOfRangeException(nameof(activation)),
    };

    public static double[] Linear(double[] x, double[] weight, double[] bias, int rows, int inputs, int outputs)
    {
        double[] y = new double[rows * outputs];
        for (int r = 0; r < rows; r++)
            for (int o = 0; o < outputs; o++)
            {
                double sum = bias[o];
                for (int i = 0; i < inputs; i++) sum += x[(r * inputs) + i] * weight[(o * inputs) + i];
                y[(r * outputs) + o] = sum;
            }
        return y;
    }

    public static double[] BatchedProduct(double[] a, double[] b, int batch, int m, int k, int n)
    {
        double[] c = new double[batch * m * n];
        for (int q = 0; q < batch; q++)
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++)
                    for (int p = 0; p < k; p++) c[(((q * m) + i) * n) + j] += a[(((q * m) + i) * k) + p] * b[(((q * k) + p) * n) + j];
        return c;
    }

    public static double[] Convolution(double[] x, double[] weight, double[] bias, (int N, int C, int H, int W) input, (int O, int KH, int KW) kernel, Convolution2dOptions options)
    {
        int outputHeight = ((input.H + (2 * options.PaddingHeight) - kernel.KH) / options.StrideHeight) + 1;
        int outputWidth = ((input.W + (2 * options.PaddingWidth) - kernel.KW) / options.StrideWidth) + 1;
        int groupInputs = input.C / options.Groups, groupOutputs = kernel.O / options.Groups;
        List<double> y = [];
        for (int n = 0; n < input.N; n++)
            for (int o = 0; o < kernel.O; o++)
                for (int row = 0; row < outputHeight; row++)
                    for (int column = 0; column < outputWidth; column++)
                    {
                        double sum = bias[o];
                        for (int i = 0; i < groupInputs; i++)
                            for (int u = 0; u < kernel.KH; u++)
                                for (int v = 0; v < kernel.KW; v++)
                                {
                                    int h = (row * options.StrideHeight) + u - options.PaddingHeight, w = (column * options.StrideWidth) + v - options.PaddingWidth;
                                    if (h < 0 || h >= input.H || w < 0 || w >= input.W) continue;
                                    int channel = (o / groupOutputs * groupInputs) + i;
                                    sum += x[(((((n * input.C) + channel) * input.H) + h) * input.W) + w] * weight[(((((o * groupInputs) + i) * kernel.KH) + u) * kernel.KW) + v];
                                }
                        y.Add(sum);
                    }
        return [.. y];
    }

    public static double[] Pool(double[] x, (int Planes, int H, int W) input, (int KH, int KW, int SH, int SW, int PH, int PW) window, Func<List<double>, double> reduce)
    {
        int outputHeight = ((input.H + (2 * window.PH) - window.KH) / window.SH) + 1, outputWidth = ((input.W + (2 * window.PW) - window.KW) / window.SW) + 1;
        List<double> y = [];
        for (int plane = 0; plane < input.Planes; plane++)
            for (int row = 0; row < outputHeight; row++)
                for (int column = 0; column < outputWidth; column++)
                {
                    List<double> cells = [];
                    for (int u = 0; u < window.KH; u++)
                        for (int v = 0; v < window.KW; v++)
                        {
                            int h = (row * window.SH) + u - window.PH, w = (column * window.SW) + v - window.PW;
                            if (h >= 0 && h < input.H && w >= 0 && w < input.W) cells.Add(x[(((plane * input.H) + h) * input.W) + w]);
                        }
                    y.Add(reduce(cells));
                }
        return [.. y];
    }

    public static double[] ReduceMiddle(double[] x, int outer, int middle, int inner, Func<IEnumerable<double>, double> reduce) =>
        [.. from o in Enumerable.Range(0, outer) from i in Enumerable.Range(0, inner)
            select reduce(Enumerable.Range(0, middle).Select(m => x[(((o * middle) + m) * inner) + i]))];

    public static double[] LayerNorm(double[] x, double[] scale, double[] shift, int rows, int columns) =>
        [.. x.Chunk(columns).Take(rows).SelectMany(row => Normalise(row).Select((v, i) => (v * scale[i]) + shift[i]))];

    /// <summary>Of one channel or row: mean 0, variance 1.</summary>
    public static IEnumerable<double> Normalise(double[] values)
    {
        double mean = values.Average(), variance = values.Average(v => (v - mean) * (v - mean));
        return values.Select(v => (v - mean) / Math.Sqrt(variance + 1e-5));
    }

    public static double[] Softmax(double[] row, double temperature = 1)
    {
        double max = row.Max(), sum = row.Sum(v => Math.Exp((v - max) / temperature));
        return [.. row.Select(v => Math.Exp((v - max) / temperature) / sum)];
    }

    public static double[] LogSoftmax(double[] row, double temperature = 1) => [.. Softmax(row, temperature).Select(v => Math.Log(v))];

    /// <summary>Batch statistics of each channel of [samples, channels, positions].</summary>
    public static double[] BatchNorm(double[] x, double[] scale, double[] shift, int samples, int channels, int positions)
    {
        double[] y = new double[x.Length];
        for (int c = 0; c < channels; c++)
        {
            int[] places = [.. from n in Enumerable.Range(0, samples) from p in Enumerable.Range(0, positions) select (((n * channels) + c) * positions) + p];
            double[] normal = [.. Normalise([.. places.Select(place => x[place])])];
            for (int i = 0; i < places.Length; i++) y[places[i]] = (normal[i] * scale[c]) + shift[c];
        }
        return y;
    }

    /// <summary>[batch, queries or keys, heads, size]; the first lengths[b] keys, and causal if asked.</summary>
    public static double[] Attention(double[] q, double[] k, double[] v, (int B, int T, int S, int H, int D) size, bool isCausal = false, int[]? lengths = null)
    {
        double[] output = new double[size.B * size.T * size.H * size.D];
        for (int b = 0; b < size.B; b++)
            for (int t = 0; t < size.T; t++)
                for (int h = 0; h < size.H; h++)
                {
                    int keys = Math.Min(lengths?[b] ?? size.S, isCausal ? t + 1 + size.S - size.T : size.S);
                    int query = ((((b * size.T) + t) * size.H) + h) * size.D;
                    double[] scores = [.. Enumerable.Range(0, keys).Select(s => Enumerable.Range(0, size.D).Sum(d => q[query + d] * k[Key(b, s, h) + d]) / Math.Sqrt(size.D))];
                    double[] weights = Softmax(scores);
                    for (int s = 0; s < keys; s++)
                        for (int d = 0; d < size.D; d++) output[query + d] += weights[s] * v[Key(b, s, h) + d];
                }
        return output;

        int Key(int b, int s, int h) => ((((b * size.S) + s) * size.H) + h) * size.D;
    }

    /// <summary>Self-attention with PyTorch's parameters: in_proj_weight, in_proj_bias, out_proj.weight, out_proj.bias.</summary>
    public static double[] MultiHead(double[] x, ReadOnlySpan<double[]> p, int batch, int positions, int width, int heads, bool isCausal = false)
    {
        int rows = batch * positions, part = width * width;
        double[][] projected = new double[3][];
        for (int i = 0; i < 3; i++) projected[i] = Linear(x, p[0][(i * part)..((i + 1) * part)], p[1][(i * width)..((i + 1) * width)], rows, width, width);
        double[] attended = Attention(projected[0], projected[1], projected[2], (batch, positions, positions, heads, width / heads), isCausal);
        return Linear(attended, p[2], p[3], rows, width, width);
    }

    public static double[] Sum(double[] a, double[] b) => [.. a.Select((v, i) => v + b[i])];

    /// <summary>By its Taylor series, which converges everywhere and fast for the |x| ≤ 3 of the tests.</summary>
    private static double Erf(double x)
    {
        double sum = 0, term = x;
        for (int n = 0; n < 80; n++)
        {
            sum += term / ((2 * n) + 1);
            term *= -x * x / (n + 1);
        }
        return 2 / Math.Sqrt(Math.PI) * sum;
    }
}
