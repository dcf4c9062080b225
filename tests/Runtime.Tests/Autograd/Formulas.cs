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
