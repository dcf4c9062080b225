using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public abstract partial class FunctionGradientTests(TestDevice which) : OperationTests(which)
{
    private GradientCheck Check => new(Stream);

    public static TheoryData<Activation> AllActivations => [.. Enum.GetValues<Activation>()];

    [Theory]
    [MemberData(nameof(AllActivations))]
    public void Activations(Activation activation) =>
        Check.Run([new Shape(5, 7)], [], (x, _) => ActivationFunction.Apply(x[0], activation), x => [.. x[0].Select(v => Formulas.Apply(activation, v))]);

    [Theory]
    [MemberData(nameof(AllActivations))]
    public void Linear_layers_with_bias_and_activation(Activation activation) =>
        Check.Run([new Shape(2, 3, 5)], [new Shape(4, 5), new Shape(4)],
            (x, p) => LinearFunction.Apply(x[0], p[0], p[1], activation),
            x => [.. Formulas.Linear(x[0], x[1], x[2], 6, 5, 4).Select(v => Formulas.Apply(activation, v))]);

    [Fact]
    public void Linear_layers_without_bias() =>
        Check.Run([new Shape(3, 5)], [new Shape(4, 5)], (x, p) => LinearFunction.Apply(x[0], p[0], null), x => Formulas.Linear(x[0], x[1], new double[4], 3, 5, 4));

    [Fact]
    public void Matrix_products_of_batches() =>
        Check.Run([new Shape(2, 3, 4), new Shape(2, 4, 5)], [], (x, _) => MatMulFunction.Apply(x[0], x[1]), x => Formulas.BatchedProduct(x[0], x[1], 2, 3, 4, 5));

    [Theory]
    [InlineData(Activation.None)]
    [InlineData(Activation.Relu)]
    [InlineData(Activation.Silu)]
    public void Convolutions_with_bias_and_activation(Activation activation)
    {
        Convolution2dOptions options = new(2, 1, 1, 0, Groups: 2);
        Check.Run([new Shape(2, 4, 5, 4)], [new Shape(6, 2, 3, 2), new Shape(6)],
            (x, p) => Convolution2dFunction.Apply(x[0], p[0], p[1], options, activation),
            x => [.. Formulas.Convolution(x[0], x[1], x[2], (2, 4, 5, 4), (6, 3, 2), options).Select(v => Formulas.Apply(activation, v))]);
    }

    [Fact]
    public void Maximum_pooling() =>
        Check.Run([new Shape(2, 2, 5, 6)], [], (x, _) => MaxPool2dFunction.Apply(x[0], new Pooling2dOptions(3, 2, 2, 2, 1, 0)),
            x => Formulas.Pool(x[0], (4, 5, 6), (3, 2, 2, 2, 1, 0), values => values.Max()));

    [Fact]
    public void Average_pooling() =>
        Check.Run([new Shape(2, 2, 5, 6)], [], (x, _) => AveragePool2dFunction.Apply(x[0], new Pooling2dOptions(3, 2, 2, 2, 1, 0)),
            x => Formulas.Pool(x[0], (4, 5, 6), (3, 2, 2, 2, 1, 0), values => values.Average()));

    [Fact]
    public void Sums_differences_products_and_quotients()
    {
        Shape shape = new(3, 4);
        Check.Run([shape, shape], [], (x, _) => AddFunction.Apply(x[0], x[1]), x => Zip(x, (a, b) => a + b));
        Check.Run([shape, shape], [], (x, _) => AddFunction.Subtract(x[0], x[1]), x => Zip(x, (a, b) => a - b));
        Check.Run([shape, shape], [], (x, _) => MultiplyFunction.Apply(x[0], x[1]), x => Zip(x, (a, b) => a * b));
        new GradientCheck(Stream) { Offset = 2 }.Run([shape, shape], [], (x, _) => DivideFunction.Apply(x[0], x[1]), x => Zip(x, (a, b) => a / b));
    }

    [Fact]
    public void A_right_operand_repeated_for_every_row_gets_the_sum_of_the_rows()
    {
        Shape shape = new(3, 4), row = new(4);
        Check.Run([shape, row], [], (x, _) => AddFunction.Apply(x[0], x[1]), x => Zip(x, (a, b) => a + b));
        Check.Run([shape, row], [], (x, _) => AddFunction.Subtract(x[0], x[1]), x => Zip(x, (a, b) => a - b));
        Check.Run([shape, row], [], (x, _) => MultiplyFunction.Apply(x[0], x[1]), x => Zip(x, (a, b) => a * b));
    }

    [Fact]
    public void A_variable_used_several_times_gets_the_sum_of_its_gradients() =>
        Check.Run([new Shape(3, 4)], [], (x, _) => AddFunction.Apply(MultiplyFunction.Apply(x[0], x[0]), AddFunction.Apply(x[0], x[0])), x => [.. x[0].Select(v => (v * v) + (2 * v))]);

    [Fact]
    public void Exponential_logarithm_root_clamp_and_scale()
    {
        Shape shape = new(3, 5);
        GradientCheck positive = new(Stream) { Offset = 1.5f };
        Check.Run([shape], [], (x, _) => UnaryFunction.Exp(x[0]), x => [.. x[0].Select(v => Math.Exp(v))]);
        positive.Run([shape], [], (x, _) => UnaryFunction.Log(x[0]), x => [.. x[0].Select(v => Math.Log(v))]);
        positive.Run([shape], [], (x, _) => UnaryFunction.Sqrt(x[0]), x => [.. x[0].Select(v => Math.Sqrt(v))]);
        Check.Run([shape], [], (x, _) => UnaryFunction.Clamp(x[0], -0.5f, 0.25f), x => [.. x[0].Select(v => Math.Clamp(v, -0.5, 0.25))]);
        Check.Run([shape], [], (x, _) => UnaryFunction.Scale(x[0], -3), x => [.. x[0].Select(v => -3 * v)]);
    }

    [Fact]
    public void Sum_mean_and_maximum_over_some_dimensions()
    {
        Shape shape = new(3, 4, 2);
        Check.Run([shape], [], (x, _) => ReductionFunction.Sum(x[0], 1), x => Formulas.ReduceMiddle(x[0], 3, 4, 2, values => values.Sum()));
        Check.Run([shape], [], (x, _) => ReductionFunction.Mean(x[0], -2), x => Formulas.ReduceMiddle(x[0], 3, 4, 2, values => values.Average()));
        Check.Run([shape], [], (x, _) => ReductionFunction.Max(x[0], 1), x => Formulas.ReduceMiddle(x[0], 3, 4, 2, values => values.Max()));
        Check.Run([shape], [], (x, _) => ReductionFunction.Mean(x[0]), x => [x[0].Average()]);
    }

    [Fact]
    public void Reshaping_passes_gradients_on_unchanged() =>
        Check.Run([new Shape(3, 4, 2)], [], (x, _) => UnaryFunction.Exp(ReshapeFunction.Flatten(x[0])), x => [.. x[0].Select(v => Math.Exp(v))]);

    [Fact]
    public void A_parameter_as_an_operand() =>
        Check.Run([new Shape(3, 4)], [new Shape(4)], (x, p) => MultiplyFunction.Apply(x[0], ParameterFunction.Apply(x[0].Tape, p[0])), x => Zip(x, (a, b) => a * b));

    [Fact]
    public void Layer_norm() =>
        Check.Run([new Shape(3, 6)], [new Shape(6), new Shape(6)], (x, p) => LayerNormFunction.Apply(x[0], p[0], p[1]), x => Formulas.LayerNorm(x[0], x[1], x[2], 3, 6));

    [Fact]
    public void Layer_norm_without_shift() =>
        Check.Run([new Shape(3, 6)], [new Shape(6)], (x, p) => LayerNormFunction.Apply(x[0], p[0], null), x => Formulas.LayerNorm(x[0], x[1], new double[6], 3, 6));

    private static double[] Zip(double[][] x, Func<double, double, double> function) => [.. x[0].Select((value, i) => function(value, x[1][i % x[1].Length]))];
}

public sealed class FunctionGradientsOnReference() : FunctionGradientTests(TestDevice.Reference);
public sealed class FunctionGradientsOnAvx2() : FunctionGradientTests(TestDevice.Avx2);
public sealed class FunctionGradientsOnAvx512() : FunctionGradientTests(TestDevice.Avx512);
public sealed class FunctionGradientsOnPocl() : FunctionGradientTests(TestDevice.OpenClPocl);
public sealed class FunctionGradientsOnCuda() : FunctionGradientTests(TestDevice.Cuda);
